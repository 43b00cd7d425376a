"""Search for another metric than the job's own: a scorer of scikit-learn, or one of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tune_jobs.engine.data.evaluation import Evaluation
from tune_jobs.engine.data.scoring.scorers import check_scoring, name_of, scorer_names
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.goal import COMMON, Mode, mode_of
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.names import nearest

# What people call metrics, and what scikit-learn and Keras call them.
ALIASES = {
    "acc": "accuracy",
    "ap": "average_precision",
    "auc": "roc_auc",
    "auprc": "average_precision",
    "auroc": "roc_auc",
    "brier": "neg_brier_score",
    "log_loss": "neg_log_loss",
    "logloss": "neg_log_loss",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "pr_auc": "average_precision",
    "rmse": "root_mean_squared_error",
}


def with_metric(job: Job, name: str, mode: Mode | None = None) -> Job:
    """Return the job with another metric, which its evaluation computes if scikit-learn has it.

    A name that scikit-learn does not have is one that the model reports, on the validation set if
    the job's own metric is.

    Args:
        job: the job.
        name: a scorer, such as ``average_precision``, or a metric of the model.
        mode: whether low or high values are good; inferred if it is not given.

    Raises:
        JobError: for a scorer in a job without data, or a name that says no mode.
    """
    scorers = (*scorer_names(), *_own_scorers(job))
    bare = name.removeprefix("val_")
    if name in scorers or (bare in scorers and bare not in COMMON and job.data is not None):
        return _scored(job, bare, mode)
    metric = name if name == bare and not job.metric.startswith("val_") else f"val_{bare}"
    if mode is None and mode_of(metric) is None:
        raise JobError(f"--metric {name}: {_unknown(bare, scorers)}")
    return replace(job, metric=metric, mode=mode)


def why_unreported(metric: str, reported: Sequence[str]) -> str:
    """Say that nobody reports a metric, who could, and what is reported."""
    bare = metric.removeprefix("val_")
    similar = nearest(metric, [*reported, *(f"val_{name}" for name in scorer_names())])
    if (known := f"val_{ALIASES.get(bare.lower())}") in reported:
        return _nobody(metric, f"; did you mean {known!r}?", reported)
    meant = [each for each in (bare, ALIASES.get(bare.lower())) if each in scorer_names()]
    if meant:
        similar = f"; scikit-learn computes it with --metric {meant[0]}, Evaluation(scoring=...)."
    return _nobody(metric, similar, reported)


def _nobody(metric: str, hint: str, reported: Sequence[str]) -> str:
    return (
        f"metric {metric!r} is reported by neither the model nor a scorer{hint} "
        f"Reported: {', '.join(reported)}"
    )


def _own_scorers(job: Job) -> list[str]:
    scoring = job.evaluation.scoring if job.evaluation else None
    return [name_of(each) for each in check_scoring(scoring)]


def _scored(job: Job, scorer: str, mode: Mode | None) -> Job:
    if job.data is None:
        raise JobError(
            f"--metric {scorer}: scikit-learn can only score a job with data=table(...) or "
            "images(...); name a metric that the trainable reports"
        )
    evaluation = job.evaluation or Evaluation()
    if scorer not in _own_scorers(job):
        scoring = (*check_scoring(evaluation.scoring), scorer)
        evaluation = replace(evaluation, scoring=scoring)
    return replace(job, metric=f"val_{scorer}", mode=mode, evaluation=evaluation)


def _unknown(name: str, scorers: tuple[str, ...]) -> str:
    known = {*scorers, *COMMON}
    hint = f"; did you mean {ALIASES[name]!r}?" if name in ALIASES else nearest(name, known)
    return (
        f"scikit-learn has no such scorer{hint} If the model reports it, add --mode min or "
        "--mode max"
    )
