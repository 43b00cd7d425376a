"""Help in sections with examples, and mistakes in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import click

from tune_jobs.cli.output import echo

OTHER = "Options"
PROGRAM = "tune-jobs"

# The types of click that refuse values.
KINDS = {"integer": "an integer", "integer range": "an integer", "float": "a number"}


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
    """A command that shows examples, and lists its options by section, those without one last.

    Args:
        examples: command lines without the program's name.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description, then the examples, whose lines are not wrapped."""
        super().format_help_text(ctx, formatter)
        if self.examples:
            with formatter.section("Examples" if self.examples[1:] else "Example"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{PROGRAM} {example}\n")

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


class Mistake(click.ClickException):
    """A mistake in a command line."""

    exit_code = 2

    def show(self, file: Any = None) -> None:  # noqa: ARG002  # click gives it
        """Print it on standard error; words of the command line are in it."""
        from tune_jobs.engine.credentials import hide_credentials

        echo(f"error: {hide_credentials(' '.join(self.message.splitlines()))}", err=True)


def as_mistake(error: click.ClickException) -> click.ClickException:
    """Return an error of click as one line; a command without arguments shows its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError | Mistake):
        return error
    text = _describe(error).rstrip(".")
    context = getattr(error, "ctx", None)
    command = " ".join([PROGRAM, *_names(context)])
    needs_hint = context is not None and not text.endswith("?")
    return Mistake(f"{text}; see {command} --help" if needs_hint else text)


def _names(context: click.Context | None) -> list[str]:
    """Return the names of a command and of the groups that it is in, without the program's."""
    if context is None or context.parent is None:
        return []
    return [*_names(context.parent), str(context.info_name)]


def _describe(error: click.ClickException) -> str:
    """Say what is wrong, naming the option and the value."""
    from tune_jobs.engine.names import nearest

    known = getattr(error, "possibilities", None) or []
    match error:
        case click.NoSuchOption(option_name=name):
            return f"no option {name}{nearest(name, known)}"
        case click.exceptions.NoSuchCommand(command_name=name):
            return f"no command {name!r}{nearest(name, known)}"
        case click.MissingParameter(param=click.Parameter() as missing):
            return f"{_name(missing)} is missing"
        case click.BadParameter(param=click.Parameter() as bad):
            return f"{_name(bad)} {_rule(bad.type, error.message)}"
    message = re.sub(r"^Option '(.*)' requires an argument", r"\1 needs a value", error.message)
    message = re.sub(r"^Option '(.*)' does not", r"\1 does not", message)
    return (message[:1].lower() + message[1:]).removeprefix("got ")


def _name(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        return parameter.opts[0]
    return parameter.metavar or str(parameter.name).upper()


def _rule(kind: click.ParamType[Any], message: str) -> str:
    """Say what a value has to be, and what it is."""
    value = message.partition(" is not ")[0].strip("'")
    match kind:
        case click.Choice(choices=choices):
            return f"must be one of {', '.join(choices)}, got {value!r}"
        case click.IntRange(min=least, max=most) if "in the range" in message:
            limits = f"at least {least}" if most is None else f"from {least} to {most}"
            return f"must be {limits}, got {value}"
    expected = KINDS.get(kind.name)
    return f"must be {expected}, got {value!r}" if expected else message
