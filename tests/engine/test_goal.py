import math

import pytest
from ray import tune
from sklearn.metrics import get_scorer_names

from tune_jobs.engine.goal import Goal, mode_of
from tune_jobs.engine.job.describing import describe_settings
from tune_jobs.engine.job.job import Job


@pytest.mark.parametrize(("mode", "best", "worst"), [("min", 1.0, 3.0), ("max", 3.0, 1.0)])
def test_a_goal_says_which_values_are_good(mode: str, best: float, worst: float) -> None:
    goal = Goal("loss", mode)

    assert goal.better(best, worst)
    assert not goal.better(worst, best)
    assert not goal.better(best, best)
    assert goal.best([2.0, worst, best]) == best
    assert sorted([worst, 2.0, best], key=goal.loss) == [best, 2.0, worst]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_value_that_is_no_number_is_never_better(mode: str) -> None:
    assert not Goal("loss", mode).better(math.nan, 1.0)
    assert not Goal("loss", mode).better(1.0, math.nan)


def test_the_goal_of_a_job_is_what_its_description_says() -> None:
    job = Job(print, {"x": tune.uniform(0, 1)}, metric="auc", mode="max")

    assert job.goal == Goal("auc", "max")
    assert describe_settings(job).goal == job.goal


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val_loss", "min"),
        ("val_auc_1", "max"),
        ("val_AUC", "max"),
        ("MeanIoU", "max"),
        ("val_accuracy_loss", "min"),
        ("d2_absolute_error_score", "max"),
        ("val_brier_score", "min"),
        ("f1_score", "max"),
        ("score_of_game", "max"),
        ("val_neg_log_loss", "max"),
        ("val_false_positives", "min"),
        ("val_true_negatives", "max"),
        ("val_sparse_categorical_crossentropy", "min"),
        ("top_k_categorical_accuracy", "max"),
        ("val_acuracy", None),
        ("profit", None),
    ],
)
def test_the_name_of_a_metric_says_its_mode(metric, mode) -> None:
    assert mode_of(metric) == mode


def test_every_scorer_of_scikit_learn_that_says_its_mode_is_maximised() -> None:
    modes = {mode_of(name) for name in get_scorer_names()}

    assert modes <= {"max", None}
