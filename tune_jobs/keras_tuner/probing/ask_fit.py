"""The hyperparameters that a program's ``fit`` asks for, found without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.keras_tuner.declarations import Declaration
from tune_jobs.keras_tuner.hypermodel import names_in_fit
from tune_jobs.keras_tuner.hyperparameters import HyperParameters
from tune_jobs.keras_tuner.worker.program import Program

# What a model does when it trains or predicts.
METHODS = ("fit", "train_on_batch", "test_on_batch", "evaluate", "predict", "predict_on_batch")


class _ReachedError(Exception):
    """The program begins to train."""


def ask_fit(
    program: Program, hp: HyperParameters, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[Declaration]:
    """Return the hyperparameters that ``fit`` asks for up to the first call of ``model.fit``.

    A ``fit`` with a loop of its own is not called: it might train for hours. What it asks for joins
    the space when a trial meets it.

    Raises:
        JobError: if it declares one that cannot exist.
    """
    names = names_in_fit(program.hypermodel)
    if "fit" not in names or "GradientTape" in names:
        return []
    defaults = hp.with_values({})
    defaults.ensure_active_values()
    own = hp.with_values(defaults.values)
    try:
        model = program.build_model(own)
        for name in METHODS:
            object.__setattr__(model, name, _reach)
        program.fit_model(own, model, *args, **{"callbacks": [], **kwargs})
    except JobError:
        raise
    except Exception:  # noqa: BLE001  # a trial shows it, if it is more than having reached the fit
        return own.added
    return own.added


def _reach(*_: Any, **__: Any) -> None:
    raise _ReachedError
