"""Crontabs, cron's and Slurm's: the shipped ones pass, and each trap is caught at its line."""

from datetime import time
from pathlib import Path

import pytest

from tune_jobs.engine.recurring.slots import Slots
from tune_jobs.lint.cron import parse_cron
from tune_jobs.lint.crontab import lint_crontab, seconds_of

ROOT = Path(__file__).parent.parent.parent
CRON = ROOT / "cluster" / "cron" / "nightly.crontab"
SLURM = ROOT / "cluster" / "slurm" / "nightly.scrontab"
RUN = ".venv/bin/tune-jobs run"

# What is replaced in the shipped crontab, by what, the text whose line is named, and the message.
TRAPS = {
    "hour": ("0 2 * * *", "0 24 * * *", None, "the hour is '24', but must be 0 to 23"),
    "four fields": ("0 2 * * * cd", "0 2 * * cd", None, "the day of the week is 'cd'"),
    "no command": ("PATH=", "0 2 * * *\nPATH=", "0 2 * * *\n", "has no command"),
    "neither": ("PATH=", "every day\nPATH=", "every day", "no variable and has no 5 fields"),
    "nickname": ("0 2 * * *", "@dayly", None, "cron knows no '@dayly'; did you mean '@daily'"),
    "backwards": ("0 2 * * *", "0 5-2 * * *", None, "ends before it begins"),
    "no step": ("0 2 * * *", "0 */0 * * *", None, "the hour is '*/0'"),
    "other time": ("0 2 * * *", "0 3 * * *", None, "but it is started at 03:00"),
    "midnight": ("0 2 * * *", "@daily", None, "it is started at 00:00"),
    "other zone": ("PATH=", "CRON_TZ=Europe/Berlin\nPATH=", RUN, "by the clock of Europe/Berlin"),
    "no zone": ("PATH=", "CRON_TZ=Europe/Berlim\nPATH=", "CRON_TZ", "did you mean 'Europe/Berlin'"),
    "percent": ("cd \"$HOME\"", "date +%F; cd \"$HOME\"", None, r"write \%"),
    "filled in": ("PATH=", "PATH=$HOME/bin:", None, "cron fills in no variable"),
    "comment": ("SHELL=/bin/sh", "SHELL=/bin/sh # mine", None, "belongs to the value"),
    "secret": ("PATH=", "WANDB_API_KEY=01\nPATH=", "WANDB", "WANDB_API_KEY is written out"),
    "secret here": ("&& timeout", "&& DB_PASSWORD=x timeout", None, "DB_PASSWORD is written out"),
    "continued": ("2>&1", "2>&1 \\", None, "knows no continued lines"),
    "quotation": ("'nightly-", "nightly-", None, "no shell reads the command"),
    "no timeout": ("timeout --foreground --signal=TERM --kill-after=120 315m ", "", RUN, "`time"),
    "short": ("315m", "5h", None, "--kill-after=120 5h ends the run"),
    "no budget": (" --max-hours 5", "", RUN, "--max-hours is absent"),
    "odd budget": ("--max-hours 5", "--max-hours five", None, "--max-hours is 'five'"),
    "no slot": (" --slot daily@02:00", "", RUN, "but --slot is absent"),
    "one for all": ("nightly-{slot}", "nightly", RUN, "all slots would be one experiment"),
    "by date": ("'nightly-{slot}'", r'"n-$(date +\%F)"', None, "another one at each start"),
    "one for ever": ("--slot daily@02:00", "--slot 2026-11-28", None, "one slot for ever"),
    "odd slot": ("daily@02:00", "dayly@02:00", None, "did you mean 'daily'?"),
    "no overlap": (" --on-overlap skip", "", RUN, "--on-overlap is absent"),
    "misspelled": ("--on-overlap skip", "--on-overlap skip --data-set a", None, "'--data-set'"),
    "notify": ("--on-overlap skip", "--on-overlap skip --notify URL", None, "process lists"),
}  # fmt: skip
SLURM_TRAPS = {
    "option": ("--ntasks=1", "--ntask-s=1", None, "did you mean 'ntasks'"),
    "no value": ("--ntasks=1 --cpus-per-task=1", "--ntasks", None, "--ntasks needs a value"),
    "quotation": ("--ntasks=1", "--ntasks='1", None, "scrontab cannot read it"),
    "short": ("--time=05:30:00", "--time=05:00:00", None, "--time=05:00:00 ends the run before"),
    "no time": (" --time=05:30:00", "", "sbatch --job", "give --time"),
    "day": ("0 2 * * *", "0 2 32 * *", None, "the day of the month is '32'"),
}


def check(shipped: Path, trap: tuple, file: Path) -> None:
    old, new, at, message = trap
    text = shipped.read_text()
    begin = text.rindex("\n#", 0, text.index("\nSHELL=")) if "\nSHELL=" in text else 0
    broken = text[:begin] + text[begin:].replace(old, new, 1)
    assert broken != text
    file.write_text(broken)
    added = new.strip().splitlines()[-1] if at is None else at

    findings = lint_crontab(file)

    places = [each.line for each in findings if message in each.text]
    assert places, [str(each) for each in findings]
    assert added in broken.splitlines(keepends=True)[places[0] - 1]
    assert len(findings) == 1 or {each.line for each in findings} == set(places)


@pytest.mark.parametrize("path", [CRON, SLURM], ids=lambda path: path.name)
def test_a_shipped_crontab_has_no_finding(path) -> None:
    assert lint_crontab(path) == []


@pytest.mark.parametrize("name", TRAPS)
def test_a_broken_crontab_is_caught_at_its_line(name, tmp_path) -> None:
    check(CRON, TRAPS[name], tmp_path / "a.crontab")


@pytest.mark.parametrize("name", SLURM_TRAPS)
def test_a_broken_scrontab_is_caught_at_its_line(name, tmp_path) -> None:
    check(SLURM, SLURM_TRAPS[name], tmp_path / "a.scrontab")


def test_overlapping_jobs_of_slurm_need_to_say_what_happens(tmp_path) -> None:
    text = SLURM.read_text().replace("--dependency=singleton ", "")
    (tmp_path / "a.scrontab").write_text(text.replace(" --on-overlap skip", ""))

    assert "--on-overlap is absent" in str(lint_crontab(tmp_path / "a.scrontab")[0])


def test_a_last_line_that_does_not_end_is_told_of(tmp_path) -> None:
    (tmp_path / "a.crontab").write_text("@daily true\n0 2 * * * true")

    (finding,) = lint_crontab(tmp_path / "a.crontab")

    assert (finding.line, "cron leaves it out" in finding.text) == (2, True)


def test_resume_and_a_fixed_name_stand_for_a_slot(tmp_path) -> None:
    run = f"timeout 6h {RUN} a --resume --name b --max-hours 5 --on-overlap skip"
    (tmp_path / "a.crontab").write_text(f"0 2 * * * {run}\n0 3 * * * {run} --name 'b-{{slot}}'\n")

    (finding,) = lint_crontab(tmp_path / "a.crontab")

    assert (finding.line, "--slot is absent" in finding.text) == (2, True)


@pytest.mark.parametrize(
    ("cron", "slots", "agrees"),
    [
        ("0 2 * * *", Slots("daily", time(2)), True),
        ("0 2,14 * * mon-fri", Slots("daily", time(2)), True),
        ("0 * * * *", Slots("daily", time(2)), True),
        ("1 2 * * *", Slots("daily", time(2)), False),
        ("0 2 * * sun", Slots("weekly", time(2), 6), True),
        ("0 2 * * 7", Slots("weekly", time(2), 6), True),
        ("0 2 * * 1", Slots("weekly", time(2), 6), False),
        ("0 2 15 * *", Slots("weekly", time(2), 6), False),
        ("0 2 15 * *", Slots("monthly", time(2), 15), True),
        ("0 2 1 jan,jul *", Slots("monthly", time(2), 15), False),
        ("@hourly", Slots("hourly"), True),
        ("@monthly", Slots("monthly", time(0), 1), True),
    ],
)
def test_a_schedule_agrees_with_slots_where_it_fires_as_each_begins(cron, slots, agrees) -> None:
    times = parse_cron(cron)

    assert times is not None
    assert times.begin(slots) is agrees


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 1800), ("5:30", 330), ("05:30:00", 19800), ("1-12", 129600), ("x", None)],
)
def test_the_times_of_slurm_are_read_as_slurm_reads_them(text, seconds) -> None:
    assert seconds_of(text) == seconds
