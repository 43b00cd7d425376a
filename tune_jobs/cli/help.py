"""Help in sections, so that a command with many options can be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

OTHER = "Options"


class Option(click.Option):
    """An option that knows its section of the help, and shows a described default plainly."""

    def __init__(self, *args: Any, section: str = OTHER, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what follows the help in brackets."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):  # click puts it in parentheses
            extra["default"] = self.show_default
        return extra


class Command(click.Command):
    """A command that lists its options by section, those without one last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options per section."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        records = [
            (getattr(option, "section", OTHER), record)
            for option in options
            if (record := option.get_help_record(ctx)) is not None
        ]
        write_sections(formatter, sorted(records, key=lambda each: each[0] == OTHER))


def write_sections(
    formatter: click.HelpFormatter, records: Iterable[tuple[str, tuple[str, str]]]
) -> None:
    """Write terms and their explanations, each under the title that it comes with."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for title, record in records:
        sections.setdefault(title, []).append(record)
    for title, rows in sections.items():
        with formatter.section(title):
            formatter.write_dl(rows)
