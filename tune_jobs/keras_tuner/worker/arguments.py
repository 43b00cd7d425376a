"""The arguments of ``search``, which are those of ``model.fit``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from trainables.fitting.rows import are_rows, as_rows, count_rows, take
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest

# The arguments of Keras' ``fit``, in their order.
FIT = (
    *("x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split"),
    *("validation_data", "shuffle", "class_weight", "sample_weight", "initial_epoch"),
    *("steps_per_epoch", "validation_steps", "validation_batch_size", "validation_freq"),
)

# Those that compiled epochs know; anything else is left to Keras' own ``fit``.
KNOWN = frozenset(
    ["x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split"]
    + ["validation_data", "class_weight", "sample_weight"]
)


@dataclass(frozen=True)
class Fit:
    """The arguments of one call, by name.

    Attributes:
        given: those that were given and are not None.
        rest: positional arguments beyond those of ``fit``, for a program's own.
    """

    given: Mapping[str, Any]
    rest: Sequence[Any] = field(default=())

    @property
    def epochs(self) -> int:
        """The number of epochs; Keras' default is one."""
        return int(self.given.get("epochs", 1))

    @property
    def callbacks(self) -> Sequence[Any]:
        """The callbacks; Keras takes one alone, too."""
        given = self.given.get("callbacks", ())
        return tuple(given) if isinstance(given, tuple | list) else (given,)

    @property
    def is_validated(self) -> bool:
        """True if there are validation rows."""
        return bool(_as_sequence(self.given.get("validation_data"))) or bool(
            self.given.get("validation_split")
        )

    @property
    def takes_arrays(self) -> bool:
        """True if all data are arrays."""
        given = self.given
        sets = [given.get("x"), given.get("y"), *_as_sequence(given.get("validation_data"))]
        return all(are_rows(as_rows(each)) for each in sets if each is not None)

    @property
    def can_be_compiled(self) -> bool:
        """True if the data are arrays, and no argument needs Keras' own ``fit``."""
        return self.takes_arrays and not self.rest and self.given.keys() <= KNOWN

    def sets(self) -> SimpleNamespace:
        """Return training and validation rows as a fit takes them, split as Keras does."""
        given = self.given
        x, y, weights = as_rows(given.get("x")), as_rows(given.get("y")), None
        if given.get("sample_weight") is not None:
            weights = np.asarray(given["sample_weight"], "float32")
        validation = _as_sequence(given.get("validation_data"))
        train: tuple[Any, ...] = (x, y, weights)
        if not validation and given.get("validation_split"):
            first = int(count_rows(x) * (1 - given["validation_split"]))
            validation = tuple(None if a is None else take(a, slice(first, None)) for a in train)
            train = tuple(None if a is None else take(a, slice(first)) for a in train)
        x_validation, y_validation, held_weights = [*validation, None, None, None][:3]
        return SimpleNamespace(
            x_train=train[0],
            y_train=train[1],
            weights_train=train[2],
            x_validation=as_rows(x_validation),
            y_validation=as_rows(y_validation),
            weights_validation=held_weights,
        )


def read_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Fit:
    """Return the arguments of a call of ``search`` by name.

    Raises:
        JobError: if one is given twice.
    """
    given = dict(zip(FIT, args, strict=False))
    if twice := given.keys() & kwargs.keys():
        raise JobError(f"search: {min(twice)} is given twice, by its place and by its name")
    given |= kwargs
    return Fit({k: v for k, v in given.items() if v is not None}, args[len(FIT) :])


def with_epochs(
    args: Sequence[Any], kwargs: Mapping[str, Any], epochs: int
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Return the arguments of a call with another number of epochs."""
    place = FIT.index("epochs")
    if len(args) > place:
        return [*args[:place], epochs, *args[place + 1 :]], dict(kwargs)
    return args, {**kwargs, "epochs": epochs}


def first_batch(fit: Fit) -> tuple[Any, ...] | None:
    """Return x and y of the first rows or batch, or x alone; None if they can be read only once."""
    x, y = as_rows(fit.given.get("x")), as_rows(fit.given.get("y"))
    if are_rows(x):
        return tuple(take(each, slice(1)) for each in (x, y) if each is not None)
    if hasattr(x, "element_spec") or hasattr(x, "__getitem__"):
        batch = next(iter(x))
        return batch[:2] if isinstance(batch, tuple) else (batch,)
    return None


def example_of(fit: Fit) -> Any:
    """Return the first rows of the training data, None if they cannot be read twice."""
    batch = first_batch(fit)
    return None if batch is None else batch[0]


def check_call(fit: Fit, *, is_free: bool) -> None:
    """Refuse arguments that Keras would refuse in the first trial.

    Args:
        fit: the arguments.
        is_free: whether the program has a ``fit`` or ``run_trial`` of its own, which may take more.

    Raises:
        JobError: naming the argument.
    """
    if not is_free:
        _check_names(fit)
        if "x" not in fit.given:
            raise JobError("search: x is missing; give what model.fit takes")
        _check_kinds(fit)
    epochs = fit.given.get("epochs", 1)
    if isinstance(epochs, bool) or not isinstance(epochs, int | np.integer) or epochs < 1:
        raise JobError(f"search: epochs is {epochs!r}, but must be an integer >= 1")
    _check_split(fit)
    _check_lengths(fit)


def _check_names(fit: Fit) -> None:
    for name in fit.given:
        if name not in FIT:
            raise JobError(f"search: unknown argument {name!r}{nearest(name, FIT)}")
    if fit.rest:
        raise JobError(f"search: {len(fit.rest)} arguments more than model.fit takes")


def _check_kinds(fit: Fit) -> None:
    """Refuse lists of numbers, validation rows without targets, and what is no callback."""
    for name in ("x", "y"):
        value = fit.given.get(name)
        if isinstance(value, list | tuple) and value and isinstance(value[0], int | float):
            raise JobError(f"search: {name} is a list of numbers; give np.array({name})")
    held = fit.given.get("validation_data")
    if "y" in fit.given and not isinstance(held, list | tuple) and are_rows(as_rows(held)):
        raise JobError("search: validation_data is x alone, but must be (x, y)")
    for each in fit.callbacks:
        if not callable(each) and not hasattr(each, "set_model"):
            raise JobError(f"search: callbacks has {each!r}, which is no callback of Keras")


def _check_split(fit: Fit) -> None:
    split = fit.given.get("validation_split")
    if not split or "validation_data" in fit.given:
        return
    if isinstance(split, bool) or not isinstance(split, int | float) or not 0 < split < 1:
        raise JobError(f"search: validation_split is {split!r}, but must be between 0 and 1")
    x = fit.given.get("x")
    if x is not None and not are_rows(as_rows(x)):
        raise JobError(
            f"search: validation_split is {split}, but x is a {type(x).__name__}, which has no "
            "rows to split; give validation_data"
        )


def _check_lengths(fit: Fit) -> None:
    """Refuse arrays of a set that differ in their number of rows."""
    given = fit.given
    validation = _as_sequence(given.get("validation_data"))
    pairs = [(("x", given.get("x")), (name, given.get(name))) for name in ("y", "sample_weight")]
    if len(validation) > 1:
        names = ("x of validation_data", "y of validation_data")
        pairs.append(((names[0], validation[0]), (names[1], validation[1])))
    for (name, one), (other, two) in pairs:
        rows = [as_rows(one), as_rows(two)]
        if one is None or two is None or not all(are_rows(each) for each in rows):
            continue
        counts = [count_rows(each) for each in rows]
        if counts[0] != counts[1]:
            raise JobError(f"search: {name} has {counts[0]} rows, but {other} has {counts[1]}")


def list_warnings(fit: Fit) -> Iterator[str]:
    """Yield what is allowed but probably a mistake."""
    validation = _as_sequence(fit.given.get("validation_data"))
    x = fit.given.get("x")
    if validation and _are_equal(as_rows(x), as_rows(validation[0])):
        yield (
            "validation_data are the training data: the search will choose the model that "
            "remembers them best; give rows that are not trained on"
        )


def _are_equal(one: Any, two: Any) -> bool:
    if one is two:
        return one is not None
    is_array = isinstance(one, np.ndarray) and isinstance(two, np.ndarray)
    return is_array and one.shape == two.shape and bool(np.array_equal(one, two))


def _as_sequence(value: Any) -> tuple[Any, ...]:
    """Return validation data as x, y and weights; a dataset is one thing."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, tuple | list) else (value,)
