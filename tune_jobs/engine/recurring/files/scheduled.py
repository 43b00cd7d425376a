"""A run that a scheduler starts: what it runs, when, and within which budgets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import Literal

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import check_experiment_name
from tune_jobs.engine.recurring.files.firing import HOURS, as_cron, in_words
from tune_jobs.engine.recurring.slots import Slots

SLOT = "{slot}"
LONGEST_SLOT = "2026-11-28T02"
LONGEST_IDENTIFIER = 36  # a RayJob may have 47; the CronJob adds 9 to the name of each run
PLACE = ("--profile", "--storage")
MARGIN = 15  # minutes between a budget and the one around it


@dataclass(frozen=True)
class ScheduledRun:
    """A run for each slot.

    Attributes:
        job: the job's name, or the experiment to test again.
        command: the command of tune-jobs.
        name: of the experiments; it contains ``{slot}``.
        slots: when they begin.
        max_hours: the budget after which the run ends itself.
        on_overlap: what a run does if another run of its series is active.
        options: further options, with their values.
        folder: the clone; ``~/`` is the home folder of whoever runs it.
        program: what is started there.
        machine_zone: the time zone of this machine's cron.
    """

    job: str
    slots: Slots
    name: str
    command: Literal["run", "retest"] = "run"
    max_hours: float = 5
    on_overlap: str = "skip"
    options: tuple[tuple[str, str], ...] = ()
    folder: str = "~/tune-jobs"
    program: str = ".venv/bin/tune-jobs"
    machine_zone: str = "UTC"

    def __post_init__(self) -> None:
        check_experiment_name(self.name.replace(SLOT, LONGEST_SLOT))
        if not self.base:
            raise JobError(f"--name must be more than the slot, got {self.name!r}")
        longest = HOURS[self.slots.every]
        if not 0 < self.max_hours < longest:
            raise JobError(
                f"--max-hours must be above 0 and below {longest}, or {self.slots.every} runs "
                f"would overlap; got {self.max_hours:g}"
            )
        texts = {"JOB": self.job, "--folder": self.folder, **dict(self.options)}
        for what, text in texts.items():
            check_text(what, text)

    @property
    def base(self) -> str:
        """The name without the slot, which all runs of this schedule share."""
        return re.sub(r"([._-])[._-]+", r"\1", self.name.replace(SLOT, "")).strip("._-")

    @property
    def identifier(self) -> str:
        """A name that systemd, Kubernetes and Slurm accept."""
        plain = re.sub(r"[^a-z0-9]+", "-", f"tune-{self.base}".lower())
        return plain[:LONGEST_IDENTIFIER].strip("-")

    @property
    def title(self) -> str:
        """The command and its schedule, in words."""
        return f"`tune-jobs {self.command} {self.job}` {in_words(self.slots)}"

    @property
    def cron(self) -> str:
        """The five fields of cron by which it starts."""
        return as_cron(self.slots)

    @property
    def minutes(self) -> int:
        """The budget of the search in whole minutes; those around it are larger."""
        return ceil(self.max_hours * 60)

    @property
    def place(self) -> list[str]:
        """The options that say where the experiments are stored."""
        return [word for name, value in self.options if name in PLACE for word in (name, value)]

    def option(self, name: str) -> str | None:
        """Return the value of a further option, if given."""
        return dict(self.options).get(name)

    @property
    def words(self) -> list[str]:
        """The words after ``tune-jobs`` on its command line."""
        return [self.command, self.job, *self.named, "--slot", str(self.slots), *self.rest]

    @property
    def named(self) -> list[str]:
        """The option that names the experiments."""
        return ["--name", self.name]

    @property
    def rest(self) -> list[str]:
        """The options after the slot, which Slurm's file names itself."""
        return [
            *("--time-zone", self.slots.zone, "--max-hours", f"{self.max_hours:g}"),
            *("--on-overlap", self.on_overlap),
            *(word for option in self.options for word in option),
        ]

    def made_by(self, scheduler: str) -> list[str]:
        """Return the words of the command that makes this schedule again."""
        slots, what = self.slots, ["--retest", self.job] if self.command == "retest" else [self.job]
        day = {"weekly": str(slots)[7:10], "monthly": str(slots.on)}.get(slots.every)
        every = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
        clock = [] if slots.every == "hourly" else ["--at", f"{slots.at:%H:%M}"]
        return [
            *("tune-jobs", "schedule", *what, "--for", scheduler, "--every", every[slots.every]),
            *(["--on", day] if day else []),
            *(clock and [*clock, "--time-zone", slots.zone]),
            *("--name", self.name.removesuffix(f"-{SLOT}")),
            *("--max-hours", f"{self.max_hours:g}", "--on-overlap", self.on_overlap),
            *(word for option in self.options for word in option),
        ]


def check_text(what: str, text: str) -> None:
    """Refuse a value that does not fit on one line of a file.

    Raises:
        JobError: if it has several lines or invisible characters.
    """
    if not text.isprintable():
        raise JobError(f"{what} must be one line of text, got {text!r}")
