"""Hyperparameters as a KerasTuner program declares them: facts, without a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeAlias, TypeVar

from tune_jobs.engine.errors import JobError, is_finite

Value: TypeAlias = int | float | str | bool
Number = TypeVar("Number", int, float)

SAMPLINGS = ("linear", "log", "reverse_log")

# A step that reaches the upper bound but for the error of floating point reaches it.
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Condition:
    """What makes a hyperparameter active: another one has one of these values."""

    name: str
    values: tuple[Value, ...]

    def is_met(self, values: Mapping[str, object]) -> bool:
        """Return whether the parent is active and has one of the values."""
        return self.name in values and values[self.name] in self.values


Conditions: TypeAlias = tuple[Condition, ...]


@dataclass(frozen=True)
class Int:
    """An integer between two bounds, both included."""

    name: str
    min_value: int
    max_value: int
    step: int | None = None
    sampling: str = "linear"
    default: int = 0
    conditions: Conditions = ()

    @property
    def values(self) -> Sequence[int]:
        """All its values, rising."""
        if self.step is None or self.sampling == "linear":
            return range(self.min_value, self.max_value + 1, self.step or 1)
        steps = _stepped(self.min_value, self.max_value, self.step, self.sampling)
        return tuple(dict.fromkeys(int(value + TOLERANCE) for value in steps))


@dataclass(frozen=True)
class Float:
    """A number between two bounds, both included."""

    name: str
    min_value: float
    max_value: float
    step: float | None = None
    sampling: str = "linear"
    default: float = 0.0
    conditions: Conditions = ()

    @property
    def values(self) -> Sequence[float] | None:
        """All its values, rising; None if it has no step."""
        if self.min_value == self.max_value:
            return (self.min_value,)
        if self.step is None:
            return None
        return _stepped(self.min_value, self.max_value, self.step, self.sampling)


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
        ordered: whether neighbours are alike.
    """

    name: str
    values: tuple[Value, ...]
    ordered: bool
    default: Value
    conditions: Conditions = ()


@dataclass(frozen=True)
class Boolean:
    """True or False."""

    name: str
    default: bool = False
    conditions: Conditions = ()

    @property
    def values(self) -> Sequence[bool]:
        """Both."""
        return (False, True)


@dataclass(frozen=True)
class Fixed:
    """A value that is not tuned."""

    name: str
    value: Value
    conditions: Conditions = ()

    @property
    def default(self) -> Value:
        """The value."""
        return self.value

    @property
    def values(self) -> Sequence[Value]:
        """The one value."""
        return (self.value,)


Declaration: TypeAlias = Int | Float | Choice | Boolean | Fixed


def make_int(
    name: str,
    min_value: object,
    max_value: object,
    step: object = None,
    sampling: object = None,
    default: object = None,
    conditions: Conditions = (),
) -> Int:
    """Return an integer hyperparameter.

    Raises:
        JobError: if a bound or the step is not an integer, the bounds are reversed, or the step
            or the sampling does not fit them.
    """
    lower, upper = _integer(name, "min_value", min_value), _integer(name, "max_value", max_value)
    how = _sampling(name, sampling)
    evenly = 1 if how == "linear" else None
    own = evenly if step is None else _integer(name, "step", step)
    _check_range(name, lower, upper, own, how)
    first = lower if default is None else _integer(name, "default", default)
    return Int(name, lower, upper, own, how, first, conditions)


def make_float(
    name: str,
    min_value: object,
    max_value: object,
    step: object = None,
    sampling: object = None,
    default: object = None,
    conditions: Conditions = (),
) -> Float:
    """Return a hyperparameter that is a number.

    Raises:
        JobError: if a bound or the step is not a number, the bounds are reversed, or the step or
            the sampling does not fit them.
    """
    lower, upper = _number(name, "min_value", min_value), _number(name, "max_value", max_value)
    own = None if step is None else _number(name, "step", step)
    how = _sampling(name, sampling)
    _check_range(name, lower, upper, own, how)
    first = lower if default is None else _number(name, "default", default)
    return Float(name, lower, upper, own, how, first, conditions)


def make_choice(
    name: str,
    values: object,
    ordered: bool | None = None,
    default: object = None,
    conditions: Conditions = (),
) -> Choice:
    """Return a choice between values of one type; numbers are ordered unless said otherwise.

    Raises:
        JobError: if there are no values, they are of several types or of none that is known, or
            the default is not one of them.
    """
    given = _as_list(values)
    if not given:
        raise JobError(f"{name}: a Choice must have a list of at least one value, got {values!r}")
    options = tuple(_plain(name, value) for value in given)
    kinds = list(dict.fromkeys(type(option).__name__ for option in options))
    if len(kinds) > 1:
        raise JobError(
            f"{name}: the values of a Choice must be of one type, got {', '.join(kinds)}"
        )
    first = options[0] if default is None else _plain(name, default)
    if first not in options:
        raise JobError(f"{name}: the default must be one of {list(options)}, got {default!r}")
    is_ordered = kinds[0] in ("int", "float") if ordered is None else bool(ordered)
    return Choice(name, options, is_ordered, first, conditions)


def make_boolean(name: str, default: object = False, conditions: Conditions = ()) -> Boolean:
    """Return a hyperparameter that is True or False.

    Raises:
        JobError: if the default is neither.
    """
    if default not in (True, False, None):
        raise JobError(f"{name}: the default must be True or False, got {default!r}")
    return Boolean(name, bool(default), conditions)


def make_fixed(name: str, value: object, conditions: Conditions = ()) -> Fixed:
    """Return a hyperparameter with one value.

    Raises:
        JobError: if it is not an integer, a float, a text, True or False.
    """
    return Fixed(name, _plain(name, value), conditions)


def make_condition(name: str, values: object) -> Condition:
    """Return the condition that a hyperparameter has one of some values.

    Raises:
        JobError: if there are no values, or a value is not plain.
    """
    listed = _as_list(values)
    if not listed:
        raise JobError(f"{name}: parent_values must have at least one value, got {values!r}")
    return Condition(name, tuple(_plain(name, value) for value in listed))


def describe(declared: Declaration) -> dict[str, Any]:
    """Write a hyperparameter as KerasTuner's files do."""
    facts: dict[str, Any] = {"name": declared.name, "default": declared.default}
    facts["conditions"] = [
        {"class_name": "Parent", "config": {"name": each.name, "values": list(each.values)}}
        for each in declared.conditions
    ]
    match declared:
        case Int() | Float():
            facts |= {"min_value": declared.min_value, "max_value": declared.max_value}
            facts |= {"step": declared.step, "sampling": declared.sampling}
        case Choice():
            facts |= {"values": list(declared.values), "ordered": declared.ordered}
        case Fixed():
            facts = {key: fact for key, fact in facts.items() if key != "default"}
            facts["value"] = declared.value
    return {"class_name": type(declared).__name__, "config": facts}


def read_described(described: Any) -> Declaration:
    """Read a hyperparameter back from what KerasTuner's files hold.

    Raises:
        JobError: if it is of a kind that KerasTuner does not have, or lacks a fact.
    """
    try:
        kind, facts = described["class_name"], dict(described["config"])
        conditions = tuple(
            make_condition(each["config"]["name"], each["config"]["values"])
            for each in facts.pop("conditions", None) or ()
        )
        return _MAKERS[kind](**facts, conditions=conditions)
    except (KeyError, TypeError, AttributeError):
        raise JobError(
            f"a hyperparameter must be {', '.join(_MAKERS)} with its facts, got {described!r}"
        ) from None


_MAKERS: Mapping[str, Callable[..., Declaration]] = {
    "Int": make_int,
    "Float": make_float,
    "Choice": make_choice,
    "Boolean": make_boolean,
    "Fixed": make_fixed,
}


def _stepped(lower: float, upper: float, step: float, sampling: str) -> tuple[float, ...]:
    """Return the values of a stepped range; a step multiplies on a logarithmic scale."""
    if sampling == "linear":
        count = math.floor((upper - lower) / step + TOLERANCE)
        return tuple(float(f"{lower + place * step:.12g}") for place in range(count + 1))
    count = math.floor(math.log(upper / lower, step) + TOLERANCE)
    rising = [float(f"{lower * step**place:.12g}") for place in range(count + 1)]
    if sampling == "log":
        return tuple(rising)
    return tuple(float(f"{upper + lower - value:.12g}") for value in reversed(rising))


def _check_range(name: str, lower: float, upper: float, step: float | None, sampling: str) -> None:
    if lower > upper:
        raise JobError(f"{name}: min_value must not be above max_value, got {lower} and {upper}")
    if sampling != "linear" and lower <= 0:
        raise JobError(f"{name}: with sampling {sampling!r} min_value must be above 0, got {lower}")
    if step is None:
        return
    if step <= 0:
        raise JobError(f"{name}: step must be above 0, got {step}")
    if sampling != "linear" and step <= 1:
        raise JobError(
            f"{name}: with sampling {sampling!r} values are multiplied by step, "
            f"which must be above 1, got {step}"
        )


def _sampling(name: str, given: object) -> str:
    found = "linear" if given is None else str(given).lower()
    if found not in SAMPLINGS:
        raise JobError(f"{name}: sampling must be one of {', '.join(SAMPLINGS)}, got {given!r}")
    return found


def _integer(name: str, fact: str, value: object) -> int:
    number = _number(name, fact, value)
    if number != int(number):
        raise JobError(f"{name}: {fact} must be an integer, got {value!r}")
    return int(number) if not isinstance(value, Integral) else int(value)


def _number(name: str, fact: str, value: object) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan  # type: ignore[arg-type]
    if not is_finite(number):
        raise JobError(f"{name}: {fact} must be a number, got {value!r}")
    return number


def _plain(name: str, value: object) -> Value:
    """Return a value as Python's own: numpy's numbers become numbers."""
    own = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if isinstance(own, float) and not is_finite(own):
        raise JobError(f"{name}: a value must be finite, got {value!r}")
    if not isinstance(own, str | bool | int | float):
        raise JobError(f"{name}: a value must be an int, float, str or bool, got {value!r}")
    return own


def _as_list(values: object) -> list[object]:
    if isinstance(values, str | bool | int | float):
        return [values]
    try:
        return list(values)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        return [values]
