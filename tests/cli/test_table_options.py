"""Options of the command line about the columns and rows of a table."""

from __future__ import annotations

import re

import pytest

from tune_jobs.cli.again import KINDS
from tune_jobs.cli.loading import load
from tune_jobs.cli.options import REMEMBERED
from tune_jobs.engine.errors import JobError

NONE = {
    **dict.fromkeys(("data", "target", "profile", "storage", "searcher", "finalists")),
    **dict.fromkeys(("num_samples", "max_epochs", "seed", "class_weight")),
    **dict.fromkeys(("sets", "ignore", "ids"), ()),
    **dict.fromkeys(("ensemble", "stop_when_done", "drop_missing_target"), False),
}


def load_job(job="tabular", **options):
    return load(job, NONE | options)[0].job


def test_columns_are_left_out_kept_beside_and_split_at_commas():
    job = load_job(
        data="customers.csv",
        target="churned",
        ignore=("a,b", ""),
        ids=("customer_id",),
        drop_missing_target=True,
    )

    assert job.data.ignore == ("a", "b", "")
    assert job.data.ids == ("customer_id",)
    assert job.data.drop_missing_target is True
    assert load_job().data.drop_missing_target is False


def test_several_targets_are_split_at_commas():
    assert load_job(data="x.csv", target="hot, kind").data.target == ("hot", "kind")
    assert load_job(data="x.csv", target="hot").data.target == "hot"


def test_class_weights_are_a_constant_of_the_space():
    assert load_job(class_weight="balanced").space["class_weight"] == "balanced"
    assert "class_weight" not in load_job().space


def test_fields_of_the_table_are_set_by_name():
    job = load_job(sets=("data.date_order=dmy", "data.missing=?,k.A.", "data.separator=;"))

    assert job.data.date_order == "dmy"
    assert job.data.missing == ("?", "k.A.")
    assert job.data.separator == ";"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": ("a",)}, "--ignore does not apply: the job's data is not a table"),
        ({"ids": ("a",)}, "--id does not apply"),
        ({"drop_missing_target": True}, "--drop-missing-target does not apply"),
    ],
)
def test_images_have_no_columns(options, message):
    with pytest.raises(JobError, match=re.escape(message)):
        load_job("digits_cnn_asha", **options)


def test_a_table_that_nobody_names_is_asked_for(tmp_path):
    with pytest.raises(JobError, match="give --data FILE and --target COLUMN"):
        load_job().data(0)
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(JobError, match="give --target COLUMN, one of a and b"):
        load_job(data=str(path)).data(0)


def test_what_an_experiment_remembers_has_a_type():
    assert set(REMEMBERED) <= set(KINDS)


def test_the_metric_sets_evaluation_and_mode_and_set_comes_last():
    job = load_job(metric="roc_auc", sets=("evaluation.folds=3",))

    assert (job.goal.metric, job.goal.mode) == ("val_roc_auc", "max")
    assert (job.evaluation.scoring, job.evaluation.folds) == (("roc_auc",), 3)
    assert load_job(mode="max").goal.mode == "max"
    assert load_job().evaluation is None
