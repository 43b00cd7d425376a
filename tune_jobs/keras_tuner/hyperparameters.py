"""The hyperparameters that a KerasTuner program's ``build`` declares, and one value of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import refuse_unknown
from tune_jobs.keras_tuner.declarations import (
    Condition,
    Conditions,
    Declaration,
    Value,
    describe,
    make_boolean,
    make_choice,
    make_condition,
    make_fixed,
    make_float,
    make_int,
    read_described,
)

Values: TypeAlias = dict[str, Value]

_refuse_unknown = refuse_unknown("hp")


class HyperParameters:
    """The object that ``build(hp)`` asks for values.

    The first call with a name declares the hyperparameter and returns its default, or the value
    that ``values`` has for it; later ones return the same value. Inside a
    :meth:`conditional_scope` that is not taken the answer is None, as KerasTuner's is.

    Attributes:
        values: the value of each active hyperparameter, by name.
    """

    def __init__(self) -> None:
        self.values: Values = {}
        self._declared: dict[str, list[Declaration]] = {}
        self._found: dict[str, Conditions] = {}
        self._scopes: list[str] = []
        self._conditions: list[Condition] = []
        self._asked: dict[str, None] = {}
        self._added: list[Declaration] = []
        self._unread: list[str] = []

    @_refuse_unknown
    def Int(  # noqa: N802  # KerasTuner's name, as those below
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str | None = None,
        default: int | None = None,
        parent_name: str | None = None,
        parent_values: object = None,
    ) -> Any:
        """Return an integer between two bounds, both included.

        Args:
            name: of the hyperparameter, unique in its name scope.
            min_value: the smallest value.
            max_value: the largest value, if the step reaches it.
            step: the distance of two values; on a logarithmic scale their ratio.
            sampling: ``linear``, ``log`` or ``reverse_log``, in either case.
            default: the value that is tried first; ``min_value`` if None.
            parent_name: the hyperparameter that makes this one active.
            parent_values: the values of it that do.

        Raises:
            JobError: if an argument does not fit the others.
        """
        with self._under(parent_name, parent_values):
            return self._ask(make_int, name, min_value, max_value, step, sampling, default)

    @_refuse_unknown
    def Float(  # noqa: N802
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str | None = None,
        default: float | None = None,
        parent_name: str | None = None,
        parent_values: object = None,
    ) -> Any:
        """Return a number between two bounds; the arguments are those of :meth:`Int`.

        Raises:
            JobError: if an argument does not fit the others.
        """
        with self._under(parent_name, parent_values):
            return self._ask(make_float, name, min_value, max_value, step, sampling, default)

    @_refuse_unknown
    def Choice(  # noqa: N802
        self,
        name: str,
        values: Iterable[Value],
        ordered: bool | None = None,
        default: Value | None = None,
        parent_name: str | None = None,
        parent_values: object = None,
    ) -> Any:
        """Return one of several values of one type.

        Args:
            name: of the hyperparameter, unique in its name scope.
            values: integers, floats, texts or booleans.
            ordered: whether neighbours are alike; by default numbers are.
            default: the value that is tried first; the first of them if None.
            parent_name: the hyperparameter that makes this one active.
            parent_values: the values of it that do.

        Raises:
            JobError: if the values are empty or of several types, or the default is none of them.
        """
        with self._under(parent_name, parent_values):
            return self._ask(make_choice, name, values, ordered, default)

    @_refuse_unknown
    def Boolean(  # noqa: N802
        self,
        name: str,
        default: bool = False,
        parent_name: str | None = None,
        parent_values: object = None,
    ) -> Any:
        """Return True or False.

        Raises:
            JobError: if the default is neither.
        """
        with self._under(parent_name, parent_values):
            return self._ask(make_boolean, name, default)

    @_refuse_unknown
    def Fixed(  # noqa: N802
        self,
        name: str,
        value: Value,
        parent_name: str | None = None,
        parent_values: object = None,
    ) -> Any:
        """Return a value that is not tuned, and overrides what ``build`` declares by this name.

        Raises:
            JobError: if it is not an integer, a float, a text, True or False.
        """
        with self._under(parent_name, parent_values):
            return self._ask(make_fixed, name, value)

    @_refuse_unknown
    def get(self, name: str) -> Any:
        """Return the value of an active hyperparameter.

        Raises:
            KeyError: if it was not declared.
            JobError: if it is not active.
        """
        full = self._full(name)
        if full in self.values:
            return self.values[full]
        if full in self._declared:
            raise JobError(f"hyperparameter {full!r} is not active")
        known = ", ".join(self._declared) or "none"
        raise KeyError(f"there is no hyperparameter {full!r}; declared: {known}")

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._full(name) in self.values

    @_refuse_unknown
    @contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Put a name and a slash before the names of hyperparameters inside."""
        _check_name(name)
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    @_refuse_unknown
    @contextmanager
    def conditional_scope(self, parent_name: str, parent_values: object) -> Iterator[None]:
        """Make the hyperparameters inside active only if another one has one of some values.

        Args:
            parent_name: the other one, in the present name scope.
            parent_values: a value or a list of them.

        Raises:
            JobError: if the other one was not declared before.
        """
        full = self._full(parent_name)
        if full not in self._declared:
            raise JobError(
                f"conditional_scope: there is no hyperparameter {full!r} yet; "
                f"declared: {', '.join(self._declared) or 'none'}"
            )
        self._conditions.append(make_condition(full, parent_values))
        try:
            yield
        finally:
            self._conditions.pop()

    @_refuse_unknown
    def is_active(self, hyperparameter: str | Declaration) -> bool:
        """Return whether a hyperparameter is used with the present values."""
        if not isinstance(hyperparameter, str):
            found = self._found.get(hyperparameter.name, ())
            return self._is_met(hyperparameter.conditions) and self._is_met(found)
        declared = self._declared.get(self._full(hyperparameter), [])
        return any(self.is_active(each) for each in declared)

    @property
    def space(self) -> list[Declaration]:
        """The declared hyperparameters, active or not, in the order of their declaration."""
        return [each for declared in self._declared.values() for each in declared]

    @property
    def asked(self) -> list[str]:
        """The names whose values were asked for, in the order of the first time."""
        return list(self._asked)

    @property
    def added(self) -> list[Declaration]:
        """The hyperparameters that were declared since, by names that were not known."""
        return list(self._added)

    @property
    def found(self) -> Mapping[str, Conditions]:
        """The conditions that were found by probing ``build``, by the name that has them."""
        return dict(self._found)

    @property
    def unread(self) -> list[str]:
        """The names whose values change nothing of the model, if probing has found any."""
        return list(self._unread)

    def copy(self) -> HyperParameters:
        """Return a copy with the same declarations and values."""
        copied = HyperParameters()
        copied._declared = {name: list(declared) for name, declared in self._declared.items()}
        copied._found, copied._unread = dict(self._found), list(self._unread)
        copied.values = dict(self.values)
        return copied

    def with_values(self, values: Mapping[str, Value]) -> HyperParameters:
        """Return a copy with these values and no others, for one call of ``build``."""
        copied = self.copy()
        copied.values = dict(values)
        return copied

    def with_found(
        self, found: Mapping[str, Conditions], unread: Iterable[str] = ()
    ) -> HyperParameters:
        """Return a copy with what probing has found: conditions, and names without an effect."""
        copied = self.copy()
        copied._found, copied._unread = dict(found), list(unread)
        return copied

    def joined(self, added: Iterable[Declaration]) -> HyperParameters:
        """Return a copy that has what ``build`` declared in mid-search."""
        copied = self.copy()
        copied.merge(added, overwrite=False)
        return copied

    @_refuse_unknown
    def merge(self, hps: HyperParameters | Iterable[Declaration], overwrite: bool = True) -> None:
        """Declare the hyperparameters of another object here.

        Args:
            hps: the other object, or a list of declarations.
            overwrite: whether they replace those of equal names here.
        """
        others = hps.space if isinstance(hps, HyperParameters) else list(hps)
        for name in {each.name for each in others} if overwrite else ():
            self._declared.pop(name, None)
            self.values.pop(name, None)
        for each in others:
            if not self._exists(each):
                self._declared.setdefault(each.name, []).append(each)
        self.ensure_active_values()

    def ensure_active_values(self) -> None:
        """Give each active hyperparameter that has no value its default, and take others away."""
        for each in self.space:
            if each.name not in self.values and self.is_active(each):
                self.values[each.name] = each.default
        for name in self._declared:
            if not any(self.is_active(each) for each in self._declared[name]):
                self.values.pop(name, None)

    def get_config(self) -> dict[str, Any]:
        """Return declarations and values as JSON, in KerasTuner's form."""
        found = {
            name: [{"name": each.name, "values": list(each.values)} for each in conditions]
            for name, conditions in self._found.items()
        }
        config = {"space": [describe(each) for each in self.space], "values": dict(self.values)}
        return config | ({"found": found} if found else {})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HyperParameters:
        """Return the object that :meth:`get_config` wrote, or a KerasTuner.

        Raises:
            JobError: if it is not of that form.
        """
        try:
            space, values = list(config["space"]), dict(config["values"])
            found = dict(config.get("found", {}))
        except (KeyError, TypeError, ValueError):
            raise JobError(
                f"hyperparameters must have 'space' and 'values', got {config!r}"
            ) from None
        read = cls()
        for each in space:
            declared = read_described(each)
            read._declared.setdefault(declared.name, []).append(declared)
        read.values = values
        read._found = {
            name: tuple(make_condition(each["name"], each["values"]) for each in conditions)
            for name, conditions in found.items()
        }
        return read

    @contextmanager
    def _under(self, parent_name: str | None, parent_values: object) -> Iterator[None]:
        if parent_name is None:
            yield
            return
        with self.conditional_scope(parent_name, parent_values):
            yield

    def _ask(self, make: Any, name: str, *facts: object) -> Value | None:
        _check_name(name)
        full, conditions = self._full(name), tuple(self._conditions)
        known = self._find(full, conditions)
        declared = known or make(full, *facts, conditions=conditions)
        is_new = full not in self._declared
        if known is None:
            self._declared.setdefault(full, []).append(declared)
        if not self._is_met(declared.conditions):
            return None
        if full not in self.values:
            self.values[full] = declared.default
        if is_new:
            self._added.append(declared)
        self._asked[full] = None
        return self.values[full]

    def _find(self, name: str, conditions: Conditions) -> Declaration | None:
        named = self._declared.get(name, [])
        return next((each for each in named if each.conditions == conditions), None)

    def _exists(self, declared: Declaration) -> bool:
        return self._find(declared.name, declared.conditions) is not None

    def _is_met(self, conditions: Conditions) -> bool:
        return all(condition.is_met(self.values) for condition in conditions)

    def _full(self, name: str) -> str:
        return "/".join([*self._scopes, name])


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise JobError(f"the name of a hyperparameter must be a non-empty text, got {name!r}")
