"""``--set`` overrides one field and refuses unknown ones."""

import pytest
from ray import tune

from tune_jobs.cli.overrides import override
from tune_jobs.engine import ASHA, TPE, Job, JobError, table


def train(config: dict, data: object) -> None: ...


JOB = Job(
    trainable=train,
    space={"x": tune.uniform(0, 1), "activation": "relu", "inner": {"deep": 1}},
    data=table("breast_cancer", target="malignant"),
    searcher=TPE(),
    scheduler=ASHA(grace_period=2),
    max_epochs=9,
)


@pytest.mark.parametrize(
    ("assignment", "get", "value"),
    [
        ("scheduler.grace_period=3", lambda job: job.scheduler.grace_period, 3),
        ("scheduler.reduction_factor=2", lambda job: job.scheduler.reduction_factor, 2),
        ("searcher.gamma=0.5", lambda job: job.searcher.gamma, 0.5),
        ("scheduler=None", lambda job: job.scheduler, None),
        ("metric=val_accuracy", lambda job: job.metric, "val_accuracy"),
        ("space.activation=tanh", lambda job: job.space["activation"], "tanh"),
        ("space.inner.deep = 2", lambda job: job.space["inner"]["deep"], 2),
        ("space.x=0.5", lambda job: job.space["x"], 0.5),
        (
            "data.ignore=mean area,mean radius",
            lambda job: job.data.ignore,
            ("mean area", "mean radius"),
        ),
        ("data.validation=held_out.csv", lambda job: job.data.validation, "held_out.csv"),
        ("data.test=0.3", lambda job: job.data.test, 0.3),
        ("data.ignore=['a']", lambda job: job.data.ignore, ("a",)),
        ("evaluation.folds=5", lambda job: job.evaluation and job.evaluation.folds, 5),
        (
            "evaluation.scoring=roc_auc",
            lambda job: job.evaluation and job.evaluation.metrics,
            ("val_roc_auc",),
        ),
    ],
)
def test_a_fact_is_replaced(assignment, get, value) -> None:
    assert get(override(JOB, assignment)) == value
    assert get(JOB) != value


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("scheduler.grace_perod=3", "no field 'grace_perod'; did you mean 'grace_period'"),
        ("max_epoch=3", "did you mean 'max_epochs'"),
        ("space.unit=3", "no field 'unit'"),
        ("data.test=True", "test is True, but must be a fraction between 0 and 1"),
        ("data.test=3", "test is 3, but must be a fraction between 0 and 1"),
        ("metric.x=3", "no field 'x'. It has no fields"),
        ("evaluation.fold=3", "no field 'fold'; did you mean 'folds'.*Known: folds, repeats, scor"),
        ("max_epochs", "must have the form field=value"),
        ("=3", "must have the form field=value"),
        ("max_epochs=many", "max_epochs must be an integer, got 'many'"),
        ("max_epochs=2.5", "max_epochs must be an integer, got 2.5"),
        ("max_epochs=True", "max_epochs must be an integer, got True"),
        ("metric=3", "metric must be text, got 3"),
        ("max_epochs=1", "grace_period is 2 epochs but max_epochs is 1"),
    ],
)
def test_what_does_not_fit_is_refused(assignment, message) -> None:
    with pytest.raises(JobError, match=message):
        override(JOB, assignment)
