"""How the configs of a search were chosen, in words."""

import pytest

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.describing import describe_search as describe
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.views.searching import describe_search
from tune_jobs.engine.views.show import lines


@pytest.fixture
def chosen_by(tmp_path):
    def write(*ways: str | None) -> Experiment:
        folder = open_folder(tmp_path)
        described = describe("t.train", Goal("loss"), max_epochs=9, space={"x": 1})
        folder.write_json("experiment.json", described.to_json())
        writer = SegmentWriter(folder)
        for number, by in enumerate(ways, 1):
            writer.append(TrialStart(number, {"x": 1}, by=by))
        writer.flush()
        return Experiment(folder)

    return write


def test_each_way_of_choosing_has_words_and_its_count(chosen_by) -> None:
    experiment = chosen_by("points", "random", "random", "tpe", "hyperopt", "gp", "OptunaSearch")

    expected = (
        "1 given, 2 at random, 1 by TPE, 1 by HyperOpt's TPE, 1 by the Gaussian process, "
        "1 by OptunaSearch"
    )
    assert describe_search(experiment) == {"chosen": expected}
    assert f"chosen      {expected}" in lines(experiment, short=False)


def test_trials_of_an_earlier_version_have_no_words(chosen_by) -> None:
    experiment = chosen_by(None, None)

    assert describe_search(experiment) == {}
    assert not any(line.startswith("chosen") for line in lines(experiment, short=False))
