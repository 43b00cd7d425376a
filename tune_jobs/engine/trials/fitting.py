"""Fit a trial in a worker, which imports no more of the engine than this needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray import tune

from tune_jobs.engine.data.own_data import PackedSets, Stored, unpack_sets
from tune_jobs.engine.experiments.messages import as_report
from tune_jobs.engine.names import trial_id
from tune_jobs.engine.space.configs import IN_STEP, Config
from tune_jobs.engine.trials.shipping import Shipped

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import TrainingData


def fit_trial(
    config: Config,
    *,
    train: Shipped,
    fixed: Config,
    data: TrainingData | PackedSets | Stored | None,
    check: Callable[..., Any] | None = None,
) -> None:
    """Fit, and report an exception instead of raising it: the worker stays warm for the next.

    The model of the first trial is checked, so that one of which no file can be made ends the run.
    """
    try:
        followers = [{**each, **fixed} for each in config.get(IN_STEP, ())]
        in_step = {IN_STEP: followers} if followers else {}
        model = train.unpack()({**config, **fixed, **in_step}, unpack_sets(data))
        is_first = tune.get_context().get_trial_id() == trial_id(1)
        if check is not None and is_first and hasattr(model, "predict"):
            check(model)
    except (Exception, SystemExit) as error:  # the history records any
        if _is_end_of_session(error):
            raise
        tune.report(as_report(error))


def _is_end_of_session(error: BaseException) -> bool:
    """Return whether Ray itself ends the thread of a trial that has been stopped."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    name = innermost.tb_frame.f_globals.get("__name__", "") if innermost else ""
    return isinstance(error, SystemExit) and name.startswith("ray.")
