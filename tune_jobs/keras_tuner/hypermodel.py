"""The class that a KerasTuner program derives its models from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.errors import JobError

if TYPE_CHECKING:
    from tune_jobs.keras_tuner.hyperparameters import HyperParameters


class HyperModel:
    """A model with hyperparameters: ``build`` makes it, ``fit`` trains it.

    Attributes:
        name: of the model, None for none.
        tunable: whether its hyperparameters are tuned; else they keep their defaults.
    """

    # For programs whose own __init__ does not call this one.
    name: str | None = None
    tunable = True

    def __init__(self, name: str | None = None, tunable: bool = True) -> None:
        self.name = name
        self.tunable = tunable

    def build(self, hp: HyperParameters) -> Any:
        """Return a compiled model; a subclass has to say how.

        Raises:
            NotImplementedError: if it does not.
        """
        raise NotImplementedError(f"{type(self).__name__} has to define build(self, hp)")

    def fit(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Train a model and return its history; a subclass may train in another way.

        It may also return the objective as a number, metrics as a dict, or a list of these.
        """
        return model.fit(*args, **kwargs)


class BuiltBy(HyperModel):
    """The hypermodel of a function that builds models."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def build(self, hp: HyperParameters) -> Any:
        """Return what the function builds."""
        return self.function(hp)


def as_hypermodel(given: object) -> HyperModel | None:
    """Return a hypermodel, or the one of a function; None for None.

    Raises:
        JobError: if it is something else.
    """
    if given is None or isinstance(given, HyperModel):
        return given
    if isinstance(given, type) and issubclass(given, HyperModel):
        raise JobError(
            f"hypermodel is the class {given.__name__}, but must be an instance: {given.__name__}()"
        )
    if callable(getattr(given, "build", None)):
        return BuiltBy(given.build)  # type: ignore[attr-defined]
    if callable(given):
        return BuiltBy(given)
    raise JobError(f"hypermodel is {given!r}, but must be a function build(hp) or a kt.HyperModel")


def has_own_fit(model: HyperModel | None) -> bool:
    """Return whether a program trains its models in a way of its own."""
    return model is not None and type(model).fit is not HyperModel.fit


def names_in_fit(model: HyperModel | None) -> frozenset[str]:
    """Return the names that a program's ``fit`` uses; none if it has no code of Python."""
    code = getattr(getattr(model, "fit", None), "__code__", None)
    return frozenset(getattr(code, "co_names", ()))


def program_of(model: HyperModel | None) -> Any:
    """Return what a program has written of a hypermodel: its function, or its class."""
    return model.function if isinstance(model, BuiltBy) else type(model)
