"""A loss of a standardised number is said to be one, beside the error in the number's own unit."""

import io

import pytest

from tune_jobs.engine.analysis.estimates import estimate_of_interval
from tune_jobs.engine.analysis.in_unit import read_in_unit
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import (
    Epoch,
    Progress,
    TrialEnd,
    TrialStart,
)
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.experiments.lease import Lease
from tune_jobs.engine.experiments.listing import describe_progress, lines, list_experiments
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.description import Description, goal_of
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.headline import make_headline
from tune_jobs.engine.report.progress_charts import chart_history
from tune_jobs.engine.report.tables import trial_table as table_of_report
from tune_jobs.engine.runs.retest_answers import compare_with_before
from tune_jobs.engine.storage.folder import Folder, open_folder
from tune_jobs.engine.views import show
from tune_jobs.engine.views.board import Board
from tune_jobs.engine.views.live import LineView, as_text
from tune_jobs.engine.views.trial_table import trial_table

NUMBER = {"columns": [], "target": {"name": "price", "task": "regression", "mean": 7, "scale": 100}}
RMSE = "val_root_mean_squared_error"
LOSS = "val_loss of the standardised target"


def write(folder: Folder, curves: list[list[float]], **about) -> Experiment:
    """Write an experiment whose RMSE is 100 times the root of its loss, in two replicas."""
    folder.create()
    known = {"metric": "val_loss", "mode": "min", "preprocessing": NUMBER, **about}
    folder.write_json("experiment.json", {"trainable": "x.t", **known})
    history = SegmentWriter(folder)
    for number, losses in enumerate(curves, 1):
        history.append(TrialStart(number, {"units": number}, of=1 + number % 2, batch=number // 2))
        for replica, epoch in ((r, e) for r in (0, 1) for e in range(len(losses))):
            loss = losses[epoch] + 0.02 * replica
            metrics = {"val_loss": loss, RMSE: 100 * loss**0.5}
            history.append(Epoch(number, replica, epoch + 1, 0.1, metrics))
        history.append(TrialEnd(number, "complete", None, None))
    history.flush()
    return Experiment(folder)


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    return write(open_folder(tmp_path / "homes"), [[0.5, 0.25, 0.36], [0.64, 0.49]])


def test_only_a_loss_of_a_number_is_of_a_standardised_target() -> None:
    def words(metric="val_loss", target=NUMBER["target"], space=None):
        return goal_of(metric, "min", {"target": target}, space or {})

    assert words().words == LOSS
    assert words("val_mean_absolute_error").words == "val_mean_absolute_error"
    assert words(target={"task": "binary", "name": "bought"}) == Goal("val_loss")
    assert words(space={"loss": "poisson"}).words == "val_loss"
    assert words(space={"loss": "poisson"}).errors[RMSE] == "RMSE"
    several = words(target={**NUMBER["target"], "names": ["a", "b"], "name": "a, b"})
    assert (several.words, several.errors) == (LOSS, {})  # of several there is no common unit
    assert goal_of("val_loss", "min", None, {}).words == "val_loss"


def test_the_error_of_a_trial_is_that_of_its_best_epoch(experiment) -> None:
    found = read_in_unit(experiment)

    expected = 50 * (0.25**0.5 + 0.27**0.5)
    assert (found.name, found.target, found.winner) == ("RMSE", "price", None)
    assert found.trials[1] == pytest.approx(expected)
    assert set(found.trials) == {1, 2}


def test_show_has_the_error_beside_the_loss_and_in_a_column(experiment) -> None:
    said = show.lines(experiment, short=False)

    assert any(
        line.startswith(f"best {LOSS}  0.26  (RMSE 50.98 in the unit of price; trial 1, epoch 2")
        for line in said
    )
    head = trial_table(experiment)[0].split()
    assert head[:5] == ["trial", "val_loss", "(standardised)", "RMSE", "epoch"]
    assert trial_table(experiment)[1].split()[:4] == ["1", "0.26", "50.981", "2/3"]


def test_the_report_opens_with_the_error_and_names_the_loss_for_what_it_is(experiment) -> None:
    first = make_headline(Findings(experiment))

    assert first.value == "50.98"
    assert first.value_of.startswith(f"RMSE of price in its unit ({LOSS} 0.26) of trial 1")
    assert LOSS in chart_history(Findings(experiment)).y_title
    assert "val_loss (standardised)" in table_of_report(Findings(experiment)).heads


def test_a_winner_has_the_error_of_its_fresh_fits(experiment) -> None:
    finals = experiment.folder.child("finalists")
    # The winner is trial 2; its fits 1 and 3 have the batches 0 and 1, of which one chooses.
    write(finals, [[0.81, 0.64], [0.9, 0.9], [0.49, 0.36], [0.9, 0.9]], choosing=1)
    verdict = {"trial": 2, "config": {}, "metric": "val_loss", "mode": "min", "epochs": 2}
    verdict |= {"mean": 0.37, "interval": [0.3, 0.4], "level": 0.95, "scores": 2, "luck": 0.0}
    verdict |= {"is_distinguished": True, "sentence": "trial 2 won"}
    experiment.folder.write_json("verdict.json", verdict)

    found = Experiment(experiment.folder)
    expected = 50 * (0.36**0.5 + 0.38**0.5)
    assert read_in_unit(found).winner == pytest.approx(expected)
    said = show.lines(found, short=True)
    assert f"RMSE        {expected:.4g}  (of price, in its unit)" in said
    assert any("2 fresh scores, of the standardised target)" in line for line in said)
    first = make_headline(Findings(found))
    assert first.value == f"{expected:.4g}"
    assert f"its {LOSS} is 0.37, 95% CI 0.3 to 0.4" in first.value_of


def test_the_live_view_has_the_error_of_the_epoch() -> None:
    board, stream = Board(2, 9, Goal("val_loss")), io.StringIO()
    view = LineView(board, stream)
    events = [
        TrialStart(1, {"units": 8}),
        Progress(1, 1, 0.25, "RMSE 50"),
        Progress(1, 2, 0.36, "RMSE 60"),
    ]
    for event in events:
        view(event)
    _, best, running = as_text(board).splitlines()
    view(TrialEnd(1, "complete", None, None))

    assert best.startswith("best val_loss 0.25 (RMSE 50)  trial 1, epoch 1")
    assert "val_loss 0.36 (RMSE 60)" in running
    assert "complete: val_loss 0.25 (RMSE 50) at epoch 1 (best 0.25" in stream.getvalue()


def test_a_goal_says_the_error_of_a_report() -> None:
    goal = Goal("val_loss", target="price", is_standardised=True)

    assert goal.say_error({RMSE: 61.234567, "val_mean_absolute_error": 40.0}) == "RMSE 61.235"
    assert goal.say_error({"val_mean_absolute_error": 40.0}) == "MAE 40"
    assert goal.say_error({"loss": 0.2}) == Goal("val_loss").say_error({RMSE: 1.0}) == ""


def test_a_list_says_that_a_value_is_standardised(experiment) -> None:
    best = {"trial": 1, "epoch": 2, "value": 0.26, "config": {}}
    facts = {"outcome": "complete", "metric": "val_loss", "mode": "min", "is_standardised": True}
    experiment.folder.write_json("summary.json", {**facts, "trials": {"complete": 2}, "best": best})
    (entry,) = list_experiments(experiment.folder.parent)

    assert "val_loss (standardised)" in lines([entry])[1]
    assert "best val_loss (standardised) 0.26" in describe_progress(entry)


def test_so_does_that_of_a_run_that_lasts(experiment) -> None:
    lease = Lease(experiment.folder, 60.0)
    lease.facts = {"states": {"complete": 1}, "best": 0.26}
    lease.acquire()
    try:
        (entry,) = list_experiments(experiment.folder.parent)
    finally:
        lease.release()

    assert (entry.state, entry.metric_in_words) == ("running", "val_loss (standardised)")


def test_a_retest_names_the_loss_for_what_it_is() -> None:
    goal = goal_of("val_loss", "min", NUMBER, {})
    before = estimate_of_interval(0.5, (0.4, 0.6), 8, 0.95)

    assert f": {LOSS} was 0.5 " in compare_with_before(before, before, goal, 0.95).sentence


def test_a_description_knows_its_goal(experiment) -> None:
    about = Description.from_json(experiment.folder.read_json("experiment.json"))
    assert about.goal.is_standardised
