"""The hyperparameters of a space with the values that configs gave them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tune_jobs.engine.space.configs import children, join
from tune_jobs.engine.space.domains import (
    Choice,
    Normal,
    Range,
    domain_of,
    has_domain,
    is_branching,
)
from tune_jobs.engine.space.encoding import branch_label, is_repetition, label_of
from tune_jobs.engine.space.membership import place_of


@dataclass(frozen=True)
class Observed:
    """A number with bounds, or a choice, and its values in the configs in which it is active.

    Attributes:
        label: its place in the space, as searchers call it. A layer has one label in nets of any
            depth; hyperparameters of one name in several branches have several.
        name: its dotted name in a config.
        branches: the options, as one would call them, that lead to it.
        domain: what is searched.
        values: by the number of the config; of a choice the place of the option.
    """

    label: str
    name: str
    branches: tuple[str, ...]
    domain: Range | Choice
    values: Mapping[int, Any]


def observe(
    part: object,
    configs: Mapping[int, Any],
    label: str = "",
    name: str = "",
    branches: tuple[str, ...] = (),
) -> Iterator[Observed]:
    """Yield the hyperparameters of a space in its order, with their values in some configs.

    Raises:
        NotInSpaceError: for a config that comes from another space.
    """
    match domain_of(part):
        case Range() as found:
            yield Observed(label, name, branches, found, configs)
        case Choice() as choice:
            places = {number: place_of(choice, value)[0] for number, value in configs.items()}
            yield Observed(label, name, branches, choice, places)
            if is_branching(choice):
                yield from _observe_options(choice, configs, places, label, name, branches)
        case None:
            for key, child in children(part):
                if has_domain(child):
                    inner = {number: value[key] for number, value in configs.items()}
                    yield from observe(
                        child, inner, label_of(label, key), join(name, key), branches
                    )


def _observe_options(
    choice: Choice,
    configs: Mapping[int, Any],
    places: Mapping[int, int],
    label: str,
    name: str,
    branches: tuple[str, ...],
) -> Iterator[Observed]:
    if is_repetition(choice):
        longest = max(choice.options, key=lambda option: len(option))
        for index, layer in enumerate(longest):
            having = {number: v[index] for number, v in configs.items() if len(v) > index}
            yield from observe(layer, having, label_of(label, index), join(name, index), branches)
        return
    for place, option in enumerate(choice.options):
        taken = {number: v for number, v in configs.items() if places[number] == place}
        inside = (*branches, name_option(choice, place))
        yield from observe(option, taken, branch_label(choice, label, place), name, inside)


def name_option(choice: Choice, place: int) -> str:
    """Name an option: a value by itself, a branch by its first constant text or its number."""
    option = choice.options[place]
    if isinstance(option, Range | Normal):
        return option.as_code()
    if not is_branching(choice):
        return repr(option)
    if isinstance(option, dict):
        texts = [value for value in option.values() if isinstance(value, str)]
        return repr(texts[0]) if texts else f"branch {place}"
    return f"length {len(option)}" if isinstance(option, list | tuple) else repr(option)
