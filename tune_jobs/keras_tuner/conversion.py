"""A KerasTuner space as one of the engine, and values as configs and back.

A hyperparameter on which others depend becomes a choice between sub-spaces, each of which names
the value that it stands for: ``{"model": {"model": "cnn", "filters": 8}}``. A number of layers,
each with hyperparameters, becomes a choice between lists of several lengths, of which a longer one
continues a shorter one: ``{"layers": [{"layers": 1}, {"layers": 2, "units_1": 64}]}``. So a
config has no hyperparameter that is not active, and says by itself what its values are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.space.configs import Config, children
from tune_jobs.engine.space.domains import Choice as Options
from tune_jobs.engine.space.domains import Range, Space, domain_of
from tune_jobs.engine.space.membership import NotInSpaceError
from tune_jobs.keras_tuner.declarations import (
    Choice,
    Conditions,
    Declaration,
    Fixed,
    Float,
    Int,
    Value,
)
from tune_jobs.keras_tuner.hyperparameters import HyperParameters, Values

# A hyperparameter with more values than this has one sub-space for all values that are alike.
MOST_BRANCHES = 32

# Sub-spaces repeat what several hyperparameters decide together; a space has this many at most.
MOST_PARTS = 5_000

# A range without a step that Ray does not know is searched at this many values.
QUANTILES = 101

# Under this name lie the hyperparameters whose own names the engine uses for something else.
APART = "hp"

# Values that were written down and read back differ by this much, relatively.
TOLERANCE = 1e-6


def to_space(hp: HyperParameters, *, values: int | None = None) -> Space:
    """Return the space of the engine from which KerasTuner's values are drawn.

    Conditions that were found by probing are left out if the space would become too large.

    Args:
        hp: the declarations.
        values: for a grid: how many values a range without a step has.

    Raises:
        JobError: if it has more than 5,000 parts even so.
    """
    for found in (hp.found, {}) if hp.found else ({},):
        nodes = [_Node(each, each.conditions + found.get(each.name, ())) for each in hp.space]
        try:
            return _apart(_Builder(values).part(nodes))
        except _TooLargeError:
            continue
    raise JobError(
        f"the conditions of the {len(hp.space)} hyperparameters depend on each other in more than "
        f"{MOST_PARTS:,} ways; use fewer parent_values, or scopes that do not overlap"
    )


def values_of(config: Mapping[str, Any]) -> Values:
    """Return the values of a config by KerasTuner's names, without those that are not active."""
    found: Values = {}
    for name, part in config.items():
        for inner in part if isinstance(part, list | tuple) else [part]:
            found |= values_of(inner) if isinstance(inner, Mapping) else {name: inner}
    return found


def values_in(config: Mapping[str, Any], hp: HyperParameters) -> Values:
    """Return the values of a config that has more than hyperparameters, as a trainable gets it."""
    return values_of({name: config[name] for name in to_space(hp)})


def config_of(hp: HyperParameters, values: Mapping[str, Value] | None = None) -> Config:
    """Return the config that stands for values; what has none gets its default.

    Args:
        hp: the declarations.
        values: by name; those of hyperparameters that are not active are ignored.

    Raises:
        NotInSpaceError: if a value cannot be drawn, or has the name of no hyperparameter.
    """
    return _make_config(hp, to_space(hp), values or {})


def migration_of(hp: HyperParameters) -> Callable[[Mapping[str, Any]], Config]:
    """Return what turns a config of an earlier form of a space into one of the present form.

    What has no value gets its default, as if ``build`` had always had it. So do the trials of a
    project that KerasTuner has written.
    """
    space = to_space(hp)

    def migrate(config: Mapping[str, Any]) -> Config:
        return _make_config(hp, space, values_of(config))

    return migrate


def is_tunable(declared: Declaration) -> bool:
    """Return whether there is more than one value to choose from."""
    return declared.values is None or len(declared.values) > 1


@dataclass(frozen=True)
class _Node:
    """A hyperparameter and the conditions that are left at a place of the tree."""

    declared: Declaration
    conditions: Conditions

    @property
    def name(self) -> str:
        return self.declared.name

    def given(self, parent: str, values: Sequence[Value]) -> _Node | None:
        """Return the node where a parent has one of some values; None if it is not active there."""
        own = [each for each in self.conditions if each.name == parent]
        if any(value not in each.values for each in own for value in values):
            return None
        left = tuple(each for each in self.conditions if each.name != parent)
        return replace(self, conditions=left)


class _TooLargeError(Exception):
    """A space with too many parts."""


class _Builder:
    """Builds the tree of sub-spaces, and counts its parts."""

    def __init__(self, values: int | None) -> None:
        self._parts, self._values = 0, values

    def part(self, nodes: Sequence[_Node], above: frozenset[str] = frozenset()) -> Space:
        """Return the sub-space of hyperparameters whose other conditions are met.

        Args:
            nodes: in the order of their declaration.
            above: the names that have a value already.
        """
        roots, waiting = _settle(nodes, above)
        self._parts += len(roots)
        if self._parts > MOST_PARTS:
            raise _TooLargeError
        here = above | roots.keys()
        groups = _groups(roots, waiting)
        inside = {name for group in groups for name in group}
        branching = {group[0]: group for group in groups}
        found: Space = {}
        for name, node in roots.items():
            if name in branching:
                others = [roots[other] for other in branching[name][1:]]
                dependent = _dependent(branching[name], waiting)
                found[name] = self._branches(
                    node, others + dependent, here - set(branching[name]) | {name}
                )
            elif name not in inside:
                found[name] = _domain(node.declared, self._values)
        return found

    def _branches(self, root: _Node, inner: Sequence[_Node], above: frozenset[str]) -> Any:
        values = _values(root.declared)
        levels = _levels(root, inner, values)
        if levels is not None:
            return self._layers(root.name, values, levels, above)
        options = []
        for alike in _alike(root.name, inner, values):
            own = [node.given(root.name, alike) for node in inner]
            part = self.part([node for node in own if node], above)
            options.append({root.name: _options(alike), **part})
        return _choice(options, is_ranked=_is_ranked(root.declared))

    def _layers(
        self,
        name: str,
        values: Sequence[Value],
        levels: Sequence[Sequence[_Node]],
        above: frozenset[str],
    ) -> Any:
        layers = [
            {name: value, **self.part(level, above)}
            for value, level in zip(values, levels, strict=True)
        ]
        return _choice([layers[: count + 1] for count in range(len(layers))])


def _make_config(hp: HyperParameters, space: Space, values: Mapping[str, Value]) -> Config:
    defaults = {each.name: each.default for each in reversed(hp.space)}
    if unknown := [name for name in values if name not in defaults]:
        raise NotInSpaceError(f"{unknown[0]} is not a hyperparameter of the space")
    complete = hp.with_values(values)
    complete.ensure_active_values()
    source = _Source(values, defaults | complete.values)
    return {name: source.fill(part, name) for name, part in space.items()}


def _apart(space: Space) -> Space:
    """Return the space with the names that the engine keeps for itself one level down."""
    from tune_jobs.engine.job.job import RESERVED

    taken = {name: part for name, part in space.items() if name in RESERVED}
    if not taken:
        return space
    key = APART
    while key in space:
        key += "_"
    return {name: part for name, part in space.items() if name not in taken} | {key: taken}


def _settle(nodes: Sequence[_Node], above: frozenset[str]) -> tuple[dict[str, _Node], list[_Node]]:
    """Return what is active here by name, and what depends on that.

    Of two declarations of one name the first that is active counts. A condition that all values of
    a parent meet is none.
    """
    roots: dict[str, _Node] = {}
    waiting = list(nodes)
    while ready := [node for node in waiting if not node.conditions]:
        waiting = [node for node in waiting if node.conditions]
        for node in ready:
            if node.name not in above:
                roots.setdefault(node.name, node)
        waiting = [_without_certain(node, roots) for node in waiting]
    new = [node for node in waiting if node.name not in above | roots.keys()]
    return roots, [node for node in new if _is_possible(node, roots)]


def _without_certain(node: _Node, roots: Mapping[str, _Node]) -> _Node:
    left = tuple(
        each
        for each in node.conditions
        if each.name not in roots or not _is_certain(roots[each.name].declared, each.values)
    )
    return replace(node, conditions=left)


def _is_certain(parent: Declaration, values: Sequence[Value]) -> bool:
    return parent.values is not None and all(value in values for value in parent.values)


def _is_possible(node: _Node, roots: Mapping[str, _Node]) -> bool:
    own = [each for each in node.conditions if each.name in roots]
    return all(set(each.values) & set(roots[each.name].declared.values or ()) for each in own)


def _groups(roots: Mapping[str, _Node], waiting: Sequence[_Node]) -> list[list[str]]:
    """Return the names that hyperparameters depend on together, the outermost first.

    Two declarations of one name depend on each other: a config has one of them.
    """
    groups: list[set[str]] = []
    for name in dict.fromkeys(node.name for node in waiting):
        own: set[str] = set()
        for node in waiting:
            own |= _roots_of(node, roots, waiting) if node.name == name else set()
        if own:
            joined = own.union(*(group for group in groups if group & own))
            groups = [group for group in groups if not group & own] + [joined]
    return [sorted(group, key=lambda name: _outermost(roots[name].declared)) for group in groups]


def _roots_of(
    node: _Node,
    roots: Mapping[str, _Node],
    waiting: Sequence[_Node],
    seen: frozenset[str] = frozenset(),
) -> set[str]:
    """Return the active hyperparameters on which one depends; none if it can never be active."""
    found: set[str] = set()
    for condition in node.conditions:
        if condition.name in roots:
            found.add(condition.name)
            continue
        parents = [each for each in waiting if each.name == condition.name]
        if not parents or condition.name in seen:
            return set()
        for each in parents:
            found |= _roots_of(each, roots, waiting, seen | {node.name})
    return found


def _outermost(declared: Declaration) -> tuple[bool, int]:
    return isinstance(declared, Int), len(declared.values or ())


def _dependent(group: Sequence[str], waiting: Sequence[_Node]) -> list[_Node]:
    """Return what depends on names, directly or not."""
    names, found = set(group), []
    for _ in waiting:
        found = [node for node in waiting if any(each.name in names for each in node.conditions)]
        more = names | {node.name for node in found}
        if more == names:
            break
        names = more
    return found


def _levels(
    root: _Node, inner: Sequence[_Node], values: Sequence[Value]
) -> list[list[_Node]] | None:
    """Return what each further value of a number adds; None if it is not like layers.

    Each hyperparameter has to be active from some value on, and to depend on others of its own
    level only.
    """
    if (
        not _is_number(values[0])
        or list(values) != sorted(values)
        or len(values) > MOST_BRANCHES
        or any(not node.conditions for node in inner)
    ):
        return None
    places: dict[str, int] = {}
    levels: list[list[_Node]] = [[] for _ in values]
    for node in inner:
        place = _place(node, root.name, values, places)
        if place is None or places.setdefault(node.name, place) != place:
            return None
        own = tuple(each for each in node.conditions if each.name != root.name)
        levels[place].append(replace(node, conditions=own))
    return levels


def _place(
    node: _Node, parent: str, values: Sequence[Value], places: Mapping[str, int]
) -> int | None:
    """Return the level of a node: from which value on it is active, as the others it needs."""
    found = set()
    for condition in node.conditions:
        if condition.name != parent:
            found.add(places.get(condition.name))
            continue
        active = [value in condition.values for value in values]
        first = active.index(True) if any(active) else 0
        found.add(first if all(active[first:]) else None)
    return found.pop() if len(found) == 1 else None


def _alike(name: str, inner: Sequence[_Node], values: Sequence[Value]) -> list[list[Value]]:
    """Return the values one by one, or those that make the same active together if many."""
    if len(values) <= MOST_BRANCHES:
        return [[value] for value in values]

    def active(value: Value) -> tuple[bool, ...]:
        return tuple(node.given(name, [value]) is not None for node in inner)

    return [list(alike) for _, alike in itertools.groupby(values, active)]


def _values(declared: Declaration) -> Sequence[Value]:
    return _in_order(declared) if isinstance(declared, Choice) else tuple(declared.values or ())


def _domain(declared: Declaration, count: int | None) -> Any:
    """Return the domain of Ray that has a hyperparameter's values, or its only value."""
    match declared:
        case Fixed():
            return declared.value
        case Choice():
            return _options(_in_order(declared), is_ranked=_is_ranked(declared))
        case Float() if declared.values is None:
            return _range(declared, count)
        case Int(step=None) if declared.sampling != "linear":
            return _range(declared, count)
        case Int() if isinstance(declared.values, range) and declared.values.step == 1:
            return _range(declared, None)
    return _options(declared.values or ())


def _range(declared: Int | Float, count: int | None) -> Any:
    """Return a range without a step, or as many values of it as are wanted, evenly on its scale."""
    from ray import tune

    lower, upper, is_integer = declared.min_value, declared.max_value, isinstance(declared, Int)
    if lower == upper:
        return lower
    if count is not None:
        return _options(_quantiles(declared, [(place + 0.5) / count for place in range(count)]))
    if declared.sampling == "reverse_log":
        places = [place / (QUANTILES - 1) for place in range(QUANTILES)]
        return _options(_quantiles(declared, places))
    if declared.sampling == "log":
        return tune.lograndint(lower, upper + 1) if is_integer else tune.loguniform(lower, upper)
    return tune.randint(lower, upper + 1) if is_integer else tune.uniform(lower, upper)


def _quantiles(declared: Int | Float, places: Sequence[float]) -> list[Value]:
    """Return the values of a range at places between 0 and 1 of its scale, rising."""
    lower, upper = declared.min_value, declared.max_value
    if isinstance(declared, Int):
        upper += 1
    found = [_at(place, lower, upper, declared.sampling) for place in places]
    if isinstance(declared, Int):
        return list(dict.fromkeys(min(int(value), declared.max_value) for value in found))
    return list(dict.fromkeys(min(max(float(f"{each:.12g}"), lower), upper) for each in found))


def _at(place: float, lower: float, upper: float, sampling: str) -> float:
    if sampling == "linear":
        return lower + place * (upper - lower)
    if sampling == "log":
        return float(lower * math.pow(upper / lower, place))
    return float(upper + lower - lower * math.pow(upper / lower, 1 - place))


def _in_order(declared: Choice) -> list[Value]:
    """Return the values; the engine takes neighbours for alike if they are rising numbers."""
    values = list(dict.fromkeys(declared.values))
    if isinstance(values[0], str | bool):
        return values
    rising = sorted(values)
    return rising if declared.ordered else rising[::-1] if values == rising else values


def _is_ranked(declared: Declaration) -> bool:
    """Return whether neighbours are alike because the program says so, and not as numbers."""
    return isinstance(declared, Choice) and declared.ordered and not _is_number(declared.values[0])


def _options(values: Sequence[Value], *, is_ranked: bool = False) -> Any:
    return _choice(values, is_ranked=is_ranked) if len(values) > 1 else values[0]


def _choice(options: Sequence[Any], *, is_ranked: bool = False) -> Any:
    from tune_jobs.engine.space.ray_choices import make_choice

    return make_choice(list(options), is_ranked=is_ranked)


@dataclass(frozen=True)
class _Source:
    """The values of which a config is made.

    Attributes:
        given: values that have to be in the space.
        defaults: of all hyperparameters; the nearest value of the space counts.
    """

    given: Mapping[str, Value]
    defaults: Mapping[str, Value]

    def fill(self, part: Any, name: str) -> Any:
        """Return the config of a part of the space."""
        domain = domain_of(part)
        if domain is None and isinstance(part, dict):
            return {key: self.fill(child, key) for key, child in part.items()}
        if isinstance(domain, Options) and any(children(option) for option in domain.options):
            return self._branch(domain, name)
        if isinstance(domain, Range):
            return self._number(domain, name)
        return self._option(domain.options if isinstance(domain, Options) else [part], name)

    def _branch(self, domain: Options, name: str) -> Any:
        values = [_values_of_option(option, name) for option in domain.options]
        value = self._option([each for own in values for each in own], name)
        place = next(place for place, own in enumerate(values) if value in own)
        option = domain.options[place]
        if isinstance(option, list):
            return [self._layer(layer, name, layer[name]) for layer in option]
        return self._layer(option, name, value)

    def _layer(self, layer: Space, name: str, value: Value) -> Config:
        return {key: value if key == name else self.fill(part, key) for key, part in layer.items()}

    def _option(self, values: Sequence[Value], name: str) -> Value:
        if name in self.given:
            return _same(values, name, self.given[name])
        default = self.defaults[name]
        if default in values:
            return default
        if not _is_number(default) or not _is_number(values[0]):  # of another scope of the name
            return values[0]
        return min(values, key=lambda value: abs(value - default))  # type: ignore[operator]

    def _number(self, domain: Range, name: str) -> float:
        if name not in self.given:
            default = self.defaults[name]
            is_number = isinstance(default, int | float) and not isinstance(default, bool)
            return domain.clip(default) if is_number else domain.first  # type: ignore[arg-type]
        value = self.given[name]
        if not isinstance(value, int | float) or not domain.contains(value):
            raise NotInSpaceError(f"{name} is {value!r}, but must come from {domain.as_code()}")
        return int(value) if domain.is_integer else domain.clip(float(value))


def _values_of_option(option: Any, name: str) -> Sequence[Value]:
    own = (option[-1] if isinstance(option, list) else option)[name]
    domain = domain_of(own)
    return domain.options if isinstance(domain, Options) else [own]


def _same(values: Sequence[Value], name: str, value: Value) -> Value:
    """Return the value that the space has in place of one that was read back."""
    for own in values:
        if own == value and isinstance(own, bool) == isinstance(value, bool):
            return own
        if _is_number(own) and _is_number(value) and _is_close(own, value):
            return own
    shown = ", ".join(repr(own) for own in values[:20])
    raise NotInSpaceError(f"{name} is {value!r}, but must be one of {shown}")


def _is_close(one: Any, other: Any) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
