"""``run --require-better-than-baseline``: the exit code, and what is said of the test set."""

from dataclasses import replace
from types import SimpleNamespace

import click
import pytest

from tune_jobs.cli.run import _check_comparable, _exit_code, run
from tune_jobs.engine import Job, JobError, table
from tune_jobs.engine.data.scoring.comparison import Comparison, KnownScore, TestReport
from tune_jobs.engine.experiments.summary import Summary
from tune_jobs.engine.runs.finish import begin_summary
from tune_jobs.engine.views.show import _known_scores


def make_report(answer: str) -> TestReport:
    compared = Comparison(
        baseline="linear model",
        answer=answer,
        winner=0.5,
        score=0.4,
        gain=0.1,
        interval=(-0.1, 0.3),
    )
    return TestReport(
        rows=80,
        known=(
            KnownScore(name="accuracy", value=0.8, interval=(0.7, 0.9)),
            KnownScore(name="ROC AUC", value=0.75),
        ),
        measure="log loss",
        mode="min",
        comparisons=(compared,),
        answer=answer,
        sentence=f"the winner is {compared.sentence}",
    )


def code_of(report, *, code=0, is_final=True, required=True) -> int | None:
    summary = SimpleNamespace(on_test=report)
    experiment = SimpleNamespace(summary=summary, exit_code=code, is_final=is_final)
    with click.Context(run).scope():
        return _exit_code(experiment, is_better_required=required)


@pytest.mark.parametrize("code", [0, 3])
def test_a_model_that_is_not_better_has_its_own_code(code, capsys) -> None:
    assert code_of(make_report("better"), code=code) == code
    assert code_of(make_report("not distinguishable"), code=code) == 15
    assert "not distinguishable from a linear model (gain 0.1, 95% CI" in (capsys.readouterr().err)
    assert code_of(make_report("worse"), code=code) == 15
    assert code_of(None, code=code) == 15
    assert "could not be compared" in capsys.readouterr().err


def test_a_run_that_did_not_end_keeps_its_code_and_nothing_is_required_unasked() -> None:
    assert code_of(None, code=7, is_final=False) == 7
    assert code_of(make_report("worse"), required=False) == 0


def test_a_job_without_data_is_refused_before_it_starts() -> None:
    job = Job(print, {"x": 1}, data=table("wine", target="cultivar"))
    _check_comparable(job, {"require_better_than_baseline": True})
    _check_comparable(Job(print, {"x": 1}), {"require_better_than_baseline": False})
    with pytest.raises(JobError, match="better-than-baseline does not apply: the job has no data"):
        _check_comparable(Job(print, {"x": 1}), {"require_better_than_baseline": True})


def test_a_summary_keeps_the_report_and_one_line_shows_what_people_know() -> None:
    summary = begin_summary("complete")
    report = make_report("better")
    found = Summary.from_json({**summary.to_json(), "on_test": _as_json(summary, report)})

    assert found.on_test == report
    assert _known_scores(found) == [
        "test set    accuracy 0.8 (95% CI 0.7 to 0.9), ROC AUC 0.75, 80 rows"
    ]
    assert _known_scores(summary) == []


def _as_json(summary: Summary, report: TestReport) -> object:
    return replace(summary, on_test=report).to_json()["on_test"]
