"""Files for schedulers: what ships is what is printed, and it starts runs when slots begin."""

import json
import re
import shlex
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tune_jobs.cli import schedule as _schedule_command
from tune_jobs.cli.cluster import known_options
from tune_jobs.cli.main import main
from tune_jobs.cli.schedule import PAGES, schedule
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.recurring.files.firing import HOURS, as_calendar, as_cron, when_overdue
from tune_jobs.engine.recurring.files.rendering import SCHEDULERS, render
from tune_jobs.engine.recurring.files.scheduled import ScheduledRun
from tune_jobs.engine.recurring.files.words import systemd_word
from tune_jobs.engine.recurring.files.zones import left_out, machine_zone
from tune_jobs.engine.recurring.slots import Slots
from tune_jobs.lint.linting import lint

ROOT = Path(__file__).parents[4]
SHIPPED = {
    "cron": "cluster/cron/nightly.crontab",
    "kubernetes": "cluster/kuberay/rayjob_nightly.yaml",
    "slurm": "cluster/slurm/nightly.scrontab",
}
KNOWN = known_options(click.Context(main))
UNITS = sorted((ROOT / "cluster" / "systemd").iterdir())
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
NIGHTLY = (
    *("breast_cancer_tpe", "--every", "day", "--at", "02:00", "--time-zone", "UTC"),
    *("--name", "nightly"),
)
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze"
)

clocks = st.times().map(lambda at: at.replace(second=0, microsecond=0))
slots_at = st.one_of(
    st.just(Slots("hourly")),
    st.builds(Slots, st.just("daily"), clocks, zone=st.sampled_from(ZONES)),
    st.builds(Slots, st.just("weekly"), clocks, st.integers(0, 6), st.sampled_from(ZONES)),
    st.builds(Slots, st.just("monthly"), clocks, st.integers(1, 28), st.sampled_from(ZONES)),
)
odd_texts = st.text(alphabet="abz059 %$'\"\\&;~#-/.{}", min_size=1, max_size=12)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}-\{slot\}", fullmatch=True)


@pytest.fixture(autouse=True)
def a_clock_at_utc(monkeypatch, tmp_path):
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))


def invoke(*words: str):
    return CliRunner().invoke(schedule, words)


def line_that_made(text: str) -> list[str]:
    """The words of the command in a file's comment that made it."""
    found = re.search(r"tune-jobs schedule ((?:.*\\\n)*.*)", text)
    assert found
    return found[1].replace("\\\n#", "").replace("'", "").split()


@pytest.mark.parametrize("scheduler", SHIPPED)
def test_a_shipped_file_is_what_its_own_line_makes(scheduler) -> None:
    text = (ROOT / SHIPPED[scheduler]).read_text()

    made = invoke(*line_that_made(text))

    assert made.output == text
    assert scheduler in line_that_made(text)


def test_the_shipped_units_are_what_their_own_line_makes(tmp_path) -> None:
    made = invoke(*line_that_made(UNITS[0].read_text()), "--write", str(tmp_path))

    assert made.exit_code == 0, made.output
    assert {path.name: path.read_text() for path in UNITS} == {
        path.name: path.read_text() for path in tmp_path.iterdir()
    }


def test_each_scheduler_of_the_table_can_be_asked_for() -> None:
    assert tuple(SCHEDULERS) == _schedule_command.SCHEDULERS


@settings(max_examples=60, deadline=None)
@given(
    slots=slots_at,
    name=names,
    scheduler=st.sampled_from(list(SCHEDULERS)),
    share=st.floats(0.01, 0.9),
    data=odd_texts,
    folder=odd_texts.map(lambda text: f"~/{text}"),
    machine=st.sampled_from(ZONES),
)
def test_whatever_is_made_has_no_finding(
    slots, name, scheduler, share, data, folder, machine
) -> None:
    hours = round(share * HOURS[slots.every], 2)
    options = (("--data", data), ("--num-samples", "5"))
    try:
        run = ScheduledRun("breast_cancer_tpe", slots, name, "run", hours, "wait", options,
                           folder, machine_zone=machine)  # fmt: skip
        files = render(run, scheduler)
    except JobError:
        assume(False)
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(ROOT / "requirements.lock", place)
        for path, text in files.items():
            (Path(place) / path).write_text(text)
        checked = lint([place], KNOWN)
        assert [str(finding) for each in checked for finding in each.findings] == []
        assert any(each.commands != 0 for each in checked)


@settings(max_examples=80, deadline=None)
@given(slots=slots_at, moment=st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)))
def test_a_slot_begins_when_cron_fires_and_at_no_other_time(slots, moment) -> None:
    fired = next_firing(as_cron(slots), moment.replace(second=0, microsecond=0), slots.zone)
    assume(fired is not None)

    assert slots.name(fired - timedelta(minutes=1)) != slots.name(fired)
    assert slots.name(fired).startswith(f"{fired.astimezone(ZoneInfo(slots.zone)):%Y-%m-%d}")


def next_firing(cron: str, moment: datetime, zone: str) -> datetime | None:
    """When cron starts next by the clock on the wall; None if that clock is changed then."""
    minute, hour, day, _, weekday = cron.split()
    while not (
        hour in ("*", str(moment.hour))
        and minute == str(moment.minute)
        and day in ("*", str(moment.day))
        and weekday in ("*", str((moment.weekday() + 1) % 7))
    ):
        is_time = minute == str(moment.minute) and hour in ("*", str(moment.hour))
        moment += timedelta(days=1) if is_time else timedelta(minutes=1)
    fired = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    back = fired.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return fired if back == moment else None


@needs_systemd
@settings(max_examples=25, deadline=None)
@given(slots=slots_at, moment=st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)))
def test_a_slot_begins_when_a_timer_fires(slots, moment) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "calendar", f"--base-time={moment:%Y-%m-%d %H:%M:%S} UTC"]
        + [as_calendar(slots)],
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
        check=True,
    )
    found = re.search(r"Next elapse: \w+ (\S+ \S+) UTC", ran.stdout)
    assert found, ran.stdout
    fired = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)

    assert slots.name(fired - timedelta(minutes=1)) != slots.name(fired)


@settings(max_examples=100)
@given(slots=slots_at, share=st.floats(0.01, 0.9))
def test_the_question_for_a_good_end_reaches_back_to_the_slot_and_not_to_the_one_before(
    slots, share
) -> None:
    period = HOURS[slots.every]
    hours = share * period
    assume(slots.every != "hourly" and hours < period - 3)
    cron, within = when_overdue(slots, hours)
    begun = datetime(2027, 1, 1, slots.at.hour, slots.at.minute)
    while slots.every == "weekly" and begun.weekday() != slots.on:
        begun += timedelta(days=1)
    begun = begun.replace(day=slots.on) if slots.every == "monthly" else begun

    asked = next_firing(cron, begun + timedelta(hours=hours), "UTC")
    assert asked is not None
    since = (asked.replace(tzinfo=None) - begun) / timedelta(hours=1)

    assert hours <= since <= int(within[:-1])
    assert int(within[:-1]) < since + period - hours


@needs_systemd
@pytest.mark.parametrize("folder", ["tune-jobs", "100% mine $HOME"])
def test_systemd_takes_the_units(folder, tmp_path) -> None:
    program = tmp_path / folder / ".venv" / "bin" / "tune-jobs"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    here = tmp_path / "units"

    made = invoke(*NIGHTLY, "--for", "systemd", "--folder", str(tmp_path / folder),
                  "--data", 'a "b" 5% $c', "--write", str(here))  # fmt: skip
    ran = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(here.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.exit_code == 0
    assert (ran.returncode, ran.stderr) == (0, "")


@given(odd_texts)
def test_a_word_is_for_systemd_what_it_is_for_a_shell(text) -> None:
    written = systemd_word(text)
    filled_in = written.replace("%%", "").replace("$$", "")
    assume(not text.startswith("~/"))

    assert not set("%$") & set(filled_in)
    assert shlex.split(written.replace("%%", "%").replace("$$", "$")) == [text]


STAND_IN = """#!/usr/bin/env python3
import json, os, sys
print(json.dumps([os.getcwd(), *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A folder with an odd name, in which tune-jobs and sbatch print what they were given."""
    folder = tmp_path_factory.mktemp("home") / "my 5% $clone's"
    for name in (".venv/bin/tune-jobs", "bin/sbatch"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    return folder


def command_of(scheduler: str, text: str) -> str:
    """The command that a scheduler gives to a shell, as it has read it."""
    line = next(line for line in text.splitlines() if line.startswith("0 2 * * * "))
    command = line.removeprefix("0 2 * * * ")
    if scheduler == "cron":  # to which a bare % is the command's end
        return re.split(r"(?<!\\)%", command)[0].replace(r"\%", "%")
    return command


@settings(max_examples=15, deadline=None)
@given(scheduler=st.sampled_from(["cron", "slurm"]), data=odd_texts)
def test_a_shell_gives_tune_jobs_the_words_that_were_meant(scheduler, data, clone) -> None:
    slots = Slots("daily", time(2), zone="Asia/Tokyo")
    assume(not data.startswith("~/"))  # the home folder, as the next test has it
    options = (("--data", data), ("--target", "a b"))
    run = ScheduledRun("breast_cancer_tpe", slots, "n-{slot}", "run", 5, "skip", options,
                       folder=f"~/{clone.name}", machine_zone="Asia/Tokyo")  # fmt: skip

    command = command_of(scheduler, next(iter(render(run, scheduler).values())))
    path = f"{clone / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    environment = {"HOME": str(clone.parent), "PATH": path}
    ran = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True)
    log = clone.parent / "tune-n.log"
    printed = ran.stdout or log.read_text().splitlines()[-1]

    place, *words = json.loads(printed)
    assert Path(place) == clone
    expected = run.words
    if scheduler == "slurm":
        words = words[words.index("cluster/slurm/ray.sbatch") + 1 :]
        today = datetime.now(ZoneInfo("Asia/Tokyo")).date().isoformat()
        expected = [run.job, run.name, "--slot", today, *run.rest]
    assert words == expected


def test_a_path_in_the_home_folder_is_one_there_and_not_here() -> None:
    here = [*NIGHTLY, "--folder", "~/a b", "--data", "~/c.parquet", "--for"]

    crontab, units = invoke(*here, "cron").output, invoke(*here, "systemd").output

    assert """cd "$HOME"/'a b' && timeout""" in crontab
    assert '--data "$HOME"/c.parquet >>' in crontab
    assert 'ExecStart="%h/a b/.venv/bin/tune-jobs" run' in units
    assert "--data %h/c.parquet" in units


@pytest.mark.parametrize("scheduler", PAGES)
def test_a_scheduler_without_a_file_of_ours_names_its_page(scheduler) -> None:
    result = invoke(*NIGHTLY, "--for", scheduler)

    assert str(result.exception) == f"--for {scheduler}: copy the file in {PAGES[scheduler]}"
    assert scheduler in (ROOT / PAGES[scheduler]).read_text().lower()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["brest_cancer_tpe"], "no job named 'brest_cancer_tpe'; did you mean 'breast_cancer_tpe'"),
        (["gone.py"], "no such job file: 'gone.py'"),
        ([], "give either a JOB or --retest EXPERIMENT"),
        (["breast_cancer_tpe", "--retest", "a"], "give either a JOB"),
        (
            ["breast_cancer_tpe", "--on", "mon"],
            "--on needs --every week or --every month",
        ),
        (
            ["breast_cancer_tpe", "--every", "hour", "--at", "02:00"],
            "full hour and takes no --at",
        ),
        (["breast_cancer_tpe", "--every", "week", "--on", "15"], "must be one of mon, tue"),
        (["breast_cancer_tpe", "--every", "month", "--on", "31"], "must be 1 to 28"),
        (
            ["breast_cancer_tpe", "--at", "2 am"],
            "such as 02:00, got '2 am'",
        ),
        (["breast_cancer_tpe", "--time-zone", "Mars"], "unknown time zone 'Mars'"),
        (["breast_cancer_tpe", "--max-hours", "24"], "must be above 0 and below 24, or daily runs"),
        (["breast_cancer_tpe", "--max-hours", "0"], "--max-hours must be above 0"),
        (["breast_cancer_tpe", "--name", "a/b"], "experiment name 'a/b-2026-11-28T02' must be"),
        (["breast_cancer_tpe", "--data", "a\nb"], "--data must be one line of text, got 'a\\nb'"),
        (
            ["breast_cancer_tpe", "--at", "02:30", "--time-zone", "Europe/Berlin"],
            "in Europe/Berlin skip on",
        ),
        (["breast_cancer_tpe", "--for", "systemd", "--folder", "it's"], "whose path has '"),
        (["--retest", "a", "--for", "slurm"], "ray.sbatch only runs `tune-jobs run`"),
    ],
)
def test_what_cannot_be_scheduled_is_one_line(words, message) -> None:
    every = [] if "--every" in words else ["--every", "day"]
    asked = [*every, *([] if "--for" in words else ["--for", "cron"])]

    result = invoke(*asked, *words)

    assert isinstance(result.exception, JobError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_retest_is_named_after_its_experiment() -> None:
    text = invoke("--retest", "results/churn", "--data", "today.parquet", "--every", "week",
                  "--on", "sun", "--for", "kubernetes").output  # fmt: skip

    assert "python -m tune_jobs retest results/churn --profile" in text
    assert "--name 'churn-retest-{slot}' --slot weekly@sun-02:00" in text
    assert 'schedule: "0 2 * * 0"' in text


def test_files_are_written_over_no_other_ones(tmp_path) -> None:
    (tmp_path / "tune-nightly.timer").write_text("mine")

    result = invoke(*NIGHTLY, "--for", "systemd", "--write", str(tmp_path))

    assert "tune-nightly.timer exists" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["tune-nightly.timer"]


@pytest.mark.parametrize("scheduler", ["cron", "slurm"])
def test_cron_and_slurm_fire_by_the_clock_of_the_machine(scheduler, monkeypatch) -> None:
    monkeypatch.setenv("TZ", ":/usr/share/zoneinfo/Asia/Tokyo")

    text = invoke("breast_cancer_tpe", "--every", "day", "--for", scheduler).output

    assert "--time-zone Asia/Tokyo --max-hours" in text
    assert "CRON_TZ" not in text


def test_another_zone_than_the_machines_needs_cronie() -> None:
    text = invoke("breast_cancer_tpe", "--every", "day", "--for", "cron",
                  "--time-zone", "Asia/Tokyo").output  # fmt: skip

    assert "\nCRON_TZ=Asia/Tokyo\n" in text
    assert "Only cronie knows CRON_TZ" in text


@pytest.mark.parametrize("scheduler", ["cron", "systemd", "kubernetes"])
def test_a_day_on_which_clocks_skip_the_time_is_named(scheduler) -> None:
    text = invoke("breast_cancer_tpe", "--every", "day", "--for", scheduler,
                  "--time-zone", "Europe/Berlin").output  # fmt: skip

    assert "# Clocks in Europe/Berlin skip 02:00 on 20" in text


def test_a_time_that_is_left_out_is_found_on_its_day() -> None:
    slots = Slots("daily", time(2, 30), zone="Europe/Berlin")

    assert str(left_out(slots, datetime(2026, 11, 28).date())) == "2027-03-28"
    assert left_out(Slots("daily", time(3), zone="Europe/Berlin")) is None
    assert left_out(Slots("daily", time(2, 30))) is None


@pytest.mark.parametrize(
    ("variable", "target", "zone"),
    [
        ("", "/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("", "/usr/share/zoneinfo/Etc/UTC", "UTC"),
        ("", "/somewhere/else", "UTC"),
        ("Asia/Tokyo", "/usr/share/zoneinfo/Europe/Berlin", "Asia/Tokyo"),
        ("EST5EDT4,M3.2.0", "/usr/share/zoneinfo/Europe/Berlin", "UTC"),
    ],
)
def test_the_zone_of_a_machine_is_that_of_its_environment_or_its_link(
    variable, target, zone, tmp_path, monkeypatch
) -> None:
    (tmp_path / "localtime").symlink_to(target)
    monkeypatch.setenv("TZ", variable)

    assert machine_zone(tmp_path / "localtime") == zone


def test_tune_jobs_itself_is_started_where_the_folder_has_no_environment(tmp_path) -> None:
    text = invoke(*NIGHTLY, "--for", "cron", "--folder", str(tmp_path)).output

    assert f"cd {tmp_path} && timeout" in text
    assert "315m tune-jobs run breast_cancer_tpe" in text
