"""A job searches for another metric: scikit-learn's or the model's, with its mode."""

import pytest
from ray import tune

from tune_jobs.engine import Evaluation, Job, JobError, table
from tune_jobs.engine.job.metric import why_unreported, with_metric


def train(config: dict, data: object) -> None: ...


def profit(estimator, x, y) -> float:
    return float((estimator.predict(x) == y).mean())


JOB = Job(
    trainable=train,
    space={"x": tune.uniform(0, 1)},
    data=table("breast_cancer", target="malignant"),
    evaluation=Evaluation(folds=3, scoring=[profit]),
)


@pytest.mark.parametrize(
    ("name", "mode", "metric", "found", "scoring"),
    [
        ("average_precision", None, "val_average_precision", "max", [profit, "average_precision"]),
        ("val_roc_auc", None, "val_roc_auc", "max", [profit, "roc_auc"]),
        ("neg_log_loss", None, "val_neg_log_loss", "max", [profit, "neg_log_loss"]),
        (
            "r2",
            None,
            "val_r2",
            "max",
            [profit, "r2"],
        ),
        ("profit", None, "val_profit", "max", [profit]),
        ("val_profit", None, "val_profit", "max", [profit]),
        ("val_accuracy", None, "val_accuracy", "max", [profit]),
        ("mean_absolute_error", None, "val_mean_absolute_error", "min", [profit]),
        ("cost", "min", "val_cost", "min", [profit]),
    ],
)
def test_a_scorer_joins_the_evaluation_and_a_metric_is_taken(
    name, mode, metric, found, scoring
) -> None:
    job = with_metric(JOB, name, mode)

    assert (job.goal.metric, job.goal.mode) == (metric, found)
    assert list(job.evaluation.scoring) == scoring
    assert job.evaluation.folds == 3


def test_a_job_without_evaluation_gets_one_if_scikit_learn_has_the_metric() -> None:
    job = Job(trainable=train, space=JOB.space, data=JOB.data)

    assert with_metric(job, "average_precision").evaluation.scoring == ("average_precision",)
    assert with_metric(job, "val_loss").evaluation is None


def test_a_job_whose_metric_is_not_of_the_validation_set_has_others_like_it() -> None:
    job = Job(trainable=train, space=JOB.space, metric="reward")

    assert with_metric(job, "score_of_game").metric == "score_of_game"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("averagee", "scikit-learn has no such scorer; did you mean 'average_precision'"),
        ("ap", "--metric ap: scikit-learn has no such scorer; did you mean 'average_precision'"),
        ("cost", "If the model reports it, add --mode min or --mode max"),
    ],
)
def test_a_name_that_says_no_mode_is_refused_with_the_nearest(name, message) -> None:
    with pytest.raises(JobError, match=message):
        with_metric(JOB, name)


def test_a_scorer_needs_data() -> None:
    with pytest.raises(JobError, match=r"--metric roc_auc: scikit-learn can only score a job with"):
        with_metric(Job(trainable=train, space=JOB.space), "roc_auc")


@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        ("val_average_precision", "scikit-learn computes it with --metric average_precision"),
        ("val_auc", "scikit-learn computes it with --metric roc_auc"),
        ("val_acuracy", "did you mean 'val_accuracy'"),
        ("val_ACC", "did you mean 'val_accuracy'?"),
        ("val_averge_precision", "did you mean 'val_average_precision'"),
    ],
)
def test_a_metric_that_nobody_reports_is_named_with_who_could(metric, hint) -> None:
    said = why_unreported(metric, ["loss", "val_accuracy", "val_loss"])

    assert hint in said
    assert said.endswith("Reported: loss, val_accuracy, val_loss")
