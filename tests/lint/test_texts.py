"""Our commands in the files of other programs: each mistake is caught at its line."""

from pathlib import Path

import pytest

from tune_jobs.lint.texts import lint_text

CLUSTER = Path(__file__).parent.parent.parent / "cluster"
CRON, SLURM = CLUSTER / "cron" / "nightly.crontab", CLUSTER / "slurm" / "nightly.scrontab"
SERVICE, SBATCH = CLUSTER / "systemd" / "tune-nightly.service", CLUSTER / "slurm" / "ray.sbatch"

RUN = "tune-jobs run a --name 'b-{slot}' --max-hours 5 --on-overlap skip"

# What is replaced in a shipped file, by what, and what is reported of the line that has the run.
CRON_TRAPS = {
    "other time": ("0 2 * * * cd", "0 3 * * * cd", "but the run starts at '0 3 * * *'"),
    "quotation": ("'nightly-", "nightly-", "no shell can read the command: no closing quotation"),
    "short": ("315m", "5h", "timeout --foreground --signal=TERM --kill-after=120 5h ends the run"),
    "no budget": (" --max-hours 5", "", "--max-hours is missing"),
    "odd budget": ("--max-hours 5", "--max-hours five", "--max-hours must be a number, got 'five'"),
    "no slot": (" --slot daily@02:00", "", "but --slot is missing"),
    "one for all": ("nightly-{slot}", "nightly", "all slots would be one experiment"),
    "no name": (" --name 'nightly-{slot}' --slot daily@02:00", "", "begin a new experiment; add"),
    "by date": ("'nightly-{slot}'", r'"n-$(date +\%F)"', "--name is different at each start"),
    "one for ever": ("--slot daily@02:00", "--slot 2026-11-28", "always the same slot"),
    "odd slot": ("daily@02:00", "dayly@02:00", "did you mean 'daily'?"),
    "no zone": ("--time-zone UTC", "--time-zone Europe/Berlim", "did you mean 'Europe/Berlin'"),
    "no overlap": (" --on-overlap skip", "", "runs may overlap here: add --on-overlap"),
    "misspelled": ("--on-overlap skip", "--on-overlap skip --data-set a", "no option '--data-set'"),
    "notify": ("--on-overlap skip", "--on-overlap skip --notify URL", "shows its URL in process"),
}
OTHER_TRAPS = {
    "misspelled command": (CRON, "tune-jobs ls", "tune-jobs lss", "no command 'lss'; did you mean"),
    "misspelled question": (CRON, "--expect", "--expects", "`tune-jobs ls` has no option"),
    "scrontab": (SLURM, "05:30:00", "05:00:00", "--time=05:00:00 ends the run before"),
    "overlapping": (SLURM, " --dependency=singleton ", " ", None),
    "unit": (SERVICE, "RuntimeMaxSec=315min", "RuntimeMaxSec=5h", "RuntimeMaxSec=5h ends the run"),
    "unit's option": (SERVICE, "--on-overlap", "--on-overlaps", "no option '--on-overlaps'"),
    "script": (SBATCH, '--name "$name" ', "--nam n ", "no option '--nam'"),
}


def findings_after(path: Path, old: str, new: str, known) -> list[tuple[int, str]]:
    """What is reported after a change of a shipped file, below its first comment."""
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    begin = sum(map(len, lines[: next(i for i, line in enumerate(lines) if line[0] != "#")]))
    broken = text[:begin] + text[begin:].replace(old, new, 1)
    assert broken != text
    return [(each.line, each.text) for each in lint_text("a", broken, known)[0]]


def line_of(path: Path, text: str) -> int:
    lines = path.read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if text in line and line[0] != "#")


@pytest.mark.parametrize("name", CRON_TRAPS)
def test_a_broken_run_in_a_crontab_is_caught_at_its_line(name, known) -> None:
    old, new, message = CRON_TRAPS[name]

    ((line, text),) = findings_after(CRON, old, new, known)

    assert (line, message in text) == (line_of(CRON, "tune-jobs run"), True), text


@pytest.mark.parametrize("name", OTHER_TRAPS)
def test_a_broken_command_in_another_file_is_caught(name, known) -> None:
    path, old, new, message = OTHER_TRAPS[name]

    found = findings_after(path, old, new, known)

    assert [message in text for _, text in found] == ([True] if message else [])


def test_without_singleton_jobs_of_slurm_overlap(known) -> None:
    text = SLURM.read_text().replace("--dependency=singleton ", "")

    (finding,) = lint_text("a", text.replace(" --on-overlap skip", ""), known)[0]

    assert "runs may overlap here" in finding.text


@pytest.mark.parametrize(
    "text",
    [
        "0 2 * * * timeout 6h tune-jobs run a --resume --name b --max-hours 5 --on-overlap skip",
        f"0 2,14 * * 1-5 {RUN} --slot daily@02:00",
        f"0 2 * * 7 {RUN} --slot weekly@sun-02:00",
        'tune-jobs run "$job" --name "$name" --resume --max-hours "$hours"',
        'tune-jobs run "$@"',
        "#SBATCH --time=06:00:00\ntune-jobs run a --name b --resume --max-hours 5.9",
        "# tune-jobs run a\ntrue  # tune-jobs run a\n; tune-jobs run a",
    ],
)
def test_sound_commands_and_comments_have_no_finding(text, known) -> None:
    assert lint_text("a", text, known)[0] == []


def test_a_script_of_slurm_is_held_to_its_own_time_limit(known) -> None:
    text = (
        "#!/bin/sh\n#SBATCH --time=05:00:00\ntune-jobs run a --name b \\\n --resume --max-hours 5\n"
    )

    (finding,) = lint_text("a", text, known)[0]

    assert str(finding) == "a:3: --time=05:00:00 ends the run before --max-hours 5 does"


def test_commands_are_counted(known) -> None:
    assert lint_text("a", CRON.read_text(), known)[1] == 2
    assert lint_text("a", "FROM scratch\n", known)[1] == 0
    assert lint_text("a", "tune-jobs ls \\", known)[1] == 1
