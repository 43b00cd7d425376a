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
LONGEST_IDENTIFIER = 36  # what KubeRay allows for a RayCronJob, the strictest of all
PLACE = ("--profile", "--storage")
MARGIN = 15  # minutes between a budget and the one around it
TEMPLATED = re.compile(r"\{\{|\{%|\{#|\$\{")


@dataclass(frozen=True)
class ScheduledRun:
    """A run for each slot.

    Attributes:
        job: the job's name, or the experiment to test again.
        command: of tune-jobs, with which it runs.
        name: of the experiments; it holds ``{slot}``.
        slots: when they begin.
        max_hours: after which the run ends by itself.
        on_overlap: what a run does while another one of its name is running.
        options: further options, with their values.
        folder: of the clone; ``~/`` stands for the home folder of whoever runs it.
        program: what is started there.
        machine_zone: in which this machine's cron fires.
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
            raise JobError(f"--name is {self.name!r}, but needs more than the slot")
        longest = HOURS[self.slots.every]
        if not 0 < self.max_hours < longest:
            raise JobError(
                f"--max-hours is {self.max_hours:g}, but must be above 0 and below {longest}, "
                f"since {self.slots.every} runs would overlap"
            )
        texts = {"JOB": self.job, "--folder": self.folder, **dict(self.options)}
        for what, text in texts.items():
            check_text(what, text)

    @property
    def base(self) -> str:
        """The name without the slot: what all runs of this schedule share."""
        return re.sub(r"([._-])[._-]+", r"\1", self.name.replace(SLOT, "")).strip("._-")

    @property
    def identifier(self) -> str:
        """A name that systemd, Kubernetes and Slurm take."""
        plain = re.sub(r"[^a-z0-9]+", "-", f"tune-{self.base}".lower())
        return plain[:LONGEST_IDENTIFIER].strip("-")

    @property
    def title(self) -> str:
        """What runs, and when, in words."""
        return f"`tune-jobs {self.command} {self.job}` {in_words(self.slots)}"

    @property
    def cron(self) -> str:
        """When it starts, as cron writes it."""
        return as_cron(self.slots)

    @property
    def minutes(self) -> int:
        """The budget of the search, in whole minutes; those around it are larger."""
        return ceil(self.max_hours * 60)

    @property
    def place(self) -> list[str]:
        """The options that say where the experiments are."""
        return [word for name, value in self.options if name in PLACE for word in (name, value)]

    def option(self, name: str) -> str | None:
        """The value of a further option, where it is given."""
        return dict(self.options).get(name)

    @property
    def words(self) -> list[str]:
        """What follows ``tune-jobs`` on its command line."""
        return [self.command, self.job, *self.named, "--slot", str(self.slots), *self.rest]

    @property
    def named(self) -> list[str]:
        """The option with the name."""
        return ["--name", self.name]

    @property
    def rest(self) -> list[str]:
        """The options after the slot, which some schedulers name themselves."""
        return [
            *("--time-zone", self.slots.zone, "--max-hours", f"{self.max_hours:g}"),
            *("--on-overlap", self.on_overlap),
            *(word for option in self.options for word in option),
        ]

    def made_by(self, scheduler: str) -> list[str]:
        """The line that makes this schedule again."""
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
    """Refuse a value that a scheduler would read otherwise than a shell.

    Raises:
        JobError: for one of several lines, and for what Airflow or GitHub fill in.
    """
    if not text.isprintable():
        raise JobError(f"{what} is {text!r}, but must be one line of text")
    if found := TEMPLATED.search(text):
        raise JobError(f"{what} is {text!r}, but {found[0]} is what templates are marked with")
