"""Units of systemd: the shipped ones pass, and each trap is caught at its line."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.lint.systemd import lint_systemd
from tune_jobs.lint.systemd_time import parse_calendar, parse_span

ROOT = Path(__file__).parent.parent.parent
SHIPPED = sorted((ROOT / "cluster" / "systemd").iterdir())
RUN = "ExecStart="
SERVICE = {
    "misspelled": ("RuntimeMaxSec=315min", "RuntimeMaxSecs=5", None, "mean 'RuntimeMaxSec'"),
    "section": ("[Service]", "[Servce]", None, "no section [Servce]; did you mean 'Service'"),
    "elsewhere": ("Type=exec", "Type=exec\nOnFailure=a", "\nOnFailure=a", "belongs into [Unit]"),
    "neither": ("Type=exec", "Type=exec\nexec", "\nexec", "no [Section] and no Key=value"),
    "one shot": ("Type=exec", "Type=oneshot", "RuntimeMaxSec", "no effect with Type=oneshot"),
    "no limit": ("RuntimeMaxSec=315min\n", "", RUN, "RuntimeMaxSec= must end a run that hangs"),
    "endless": ("315min", "infinity", None, "RuntimeMaxSec= must end a run that hangs"),
    "short": ("315min", "5h", RUN, "RuntimeMaxSec=5h ends the run before --max-hours 5"),
    "no span": ("315min", "5 parsecs", None, "of which 'parsecs' is no unit of time"),
    "killed": ("TimeoutStopSec=90", "TimeoutStopSec=10", None, "kills it too early"),
    "signal": ("KillSignal=SIGTERM", "KillSignal=SIGUSR1", None, "write SIGTERM"),
    "again": ("KillMode=mixed", "KillMode=mixed\nRestart=always", None, "again that is complete"),
    "silent": ("SuccessExitStatus=3 6 7", "SuccessExitStatus=3 4 7", None, "4, nothing usable"),
    "nobody": ("tune-nightly-failed.service\n", "tune-nigthly.service\n", None, "no such unit is"),
    "secret": ("Type=exec", "Type=exec\nEnvironment=A=1 API_KEY=01", None, "API_KEY is"),
    "nothing": ("ExecStart=", "ExecStop=", "[Service]", "a service needs ExecStart="),
    "no slot": (" --slot daily@02:00", " ", RUN, "but --slot is absent"),
    "unknown": ("--on-overlap skip", "--on-overlaps skip", RUN, "no option '--on-overlaps'"),
}  # fmt: skip
TIMER = {
    "time": ("02:00:00 UTC", "03:00:00 UTC", None, "but it is started at 03:00"),
    "zone": ("02:00:00 UTC", "02:00:00 Europe/Berlin", None, "by the clock of Europe/Berlin"),
    "no time": ("02:00:00", "2.00", None, "of which '2.00' is not understood"),
    "hour": ("02:00:00", "25:00:00", None, "the hour is '25', but must be 0 to 23"),
    "no zone": ("UTC\n", "Europe/Berlim\n", None, "did you mean 'Europe/Berlin'"),
    "weekday": ("*-*-* 02", "Sonday *-*-* 02", None, "the weekday is 'Sonday'"),
    "word": ("*-*-* 02:00:00 UTC", "dayly", None, "did you mean 'daily'"),
    "never": ("OnCalendar=*-*-* 02:00:00 UTC\n", "", "[Timer]", "nothing says when it fires"),
    "missed": ("Persistent=true", "Persistent=false", None, "misses the run"),
    "missed by default": ("Persistent=true\n", "", "OnCalendar", "misses the run"),
    "not enabled": ("WantedBy=timers.target\n", "", "[Install]", "needs WantedBy=timers.target"),
    "other": ("[Timer]\n", "[Timer]\nUnit=tune.service\n", "Unit=tune.", "no such unit is"),
}  # fmt: skip


def check(name: str, trap: tuple, folder: Path) -> None:
    old, new, at, message = trap
    for path in SHIPPED:
        shutil.copy(path, folder)
    text = (folder / name).read_text()
    begin = text.index("[Unit]")
    broken = text[:begin] + text[begin:].replace(old, new, 1)
    assert broken != text
    (folder / name).write_text(broken)
    added = new.strip().splitlines()[-1] if at is None else at.strip()

    findings = lint_systemd(folder / name)

    places = [each.line for each in findings if message in each.text]
    assert places, [str(each) for each in findings]
    assert added in broken.splitlines()[places[0] - 1]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_unit_has_no_finding(path) -> None:
    assert lint_systemd(path) == []


@pytest.mark.parametrize("name", SERVICE)
def test_a_broken_service_is_caught_at_its_line(name, tmp_path) -> None:
    check("tune-nightly.service", SERVICE[name], tmp_path)


@pytest.mark.parametrize("name", TIMER)
def test_a_broken_timer_is_caught_at_its_line(name, tmp_path) -> None:
    check("tune-nightly.timer", TIMER[name], tmp_path)


def test_a_timer_alone_starts_nothing(tmp_path) -> None:
    shutil.copy(ROOT / "cluster" / "systemd" / "tune-nightly.timer", tmp_path)

    (finding,) = lint_systemd(tmp_path / "tune-nightly.timer")

    assert "the timer starts tune-nightly.service, but no such unit is beside it" in finding.text


def test_the_budget_of_a_one_shot_service_is_the_time_of_its_start(tmp_path) -> None:
    run = "tune-jobs run a --name a-{slot} --slot daily --max-hours 5"
    (tmp_path / "a.service").write_text(
        f"[Service]\nType=oneshot\nTimeoutStartSec=5h 1min\nExecStart=/bin/sh -c 'exec {run}'\n"
    )
    assert lint_systemd(tmp_path / "a.service") == []
    (tmp_path / "a.service").write_text(f"[Service]\nType=oneshot\nExecStart={run}\n")
    (finding,) = lint_systemd(tmp_path / "a.service")
    assert "TimeoutStartSec= must end a run that hangs" in finding.text


def test_an_empty_setting_takes_back_those_before(tmp_path) -> None:
    shipped = (ROOT / "cluster" / "systemd" / "tune-nightly.timer").read_text()
    shutil.copy(ROOT / "cluster" / "systemd" / "tune-nightly.service", tmp_path)
    path = tmp_path / "tune-nightly.timer"
    path.write_text(shipped.replace("OnCal", "OnCalendar=hourly\nOnCalendar=\nOnCal"))

    assert lint_systemd(path) == []
    path.write_text(shipped.replace("Persistent", "OnCalendar=\nPersistent"))
    assert "nothing says when it fires" in lint_systemd(path)[0].text


CALENDARS = [
    *("*-*-* 02:00:00", "Sun *-*-* 02:00 Europe/Berlin", "Mon..Fri 2:30", "daily", "*:0/15"),
    *("Sat,Sun 12-05 08:05", "2027-*-1,15 *:00:00 UTC", "hourly UTC", "Fri..Mon *-*-* 0:0", "Sun"),
    *("*-*-* 24:00", "*-13-*", "Foo 02:00", "02:00 Nowhere/Land", "* *", "*-*-* 02:00:00:00"),
]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("text", CALENDARS)
def test_calendar_events_are_taken_and_refused_as_systemd_does(text) -> None:
    ran = subprocess.run(["systemd-analyze", "calendar", text], capture_output=True, check=False)
    try:
        parse_calendar(text)
        taken = True
    except ValueError:
        taken = False

    assert taken == (ran.returncode == 0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5h 15min", 18900), ("90", 90), ("1d12h", 129600), ("infinity", None)]
)
def test_spans_are_read_as_systemd_reads_them(text, seconds) -> None:
    assert parse_span(text) == seconds


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="*-:/.,~0123456789 aMonSUTC"))
def test_whatever_a_calendar_event_says_it_is_read_or_refused(text) -> None:
    try:
        parse_calendar(text)
    except ValueError as error:
        assert str(error)
