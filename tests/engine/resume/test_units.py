"""An experiment reports errors in one unit, the one that it began with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tune_jobs.engine import table
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import DESCRIPTION
from tune_jobs.engine.resume.continuation import keep_unit
from tune_jobs.engine.storage.folder import open_folder

OLD = Path(__file__).parents[2] / "fixtures" / "experiment_0_1" / "experiment.json"


def test_an_experiment_keeps_the_unit_of_its_errors(tmp_path) -> None:
    frame = pd.DataFrame({"x": np.arange(100.0), "y": 1000 + 7.5 * np.arange(100)})
    dataset = table(frame, "y")(0)
    folder = open_folder(str(tmp_path))
    assert keep_unit(dataset, Experiment(folder), None) is dataset  # it begins

    described = json.loads(OLD.read_text(encoding="utf-8"))
    folder.write_json(DESCRIPTION, described)
    nothing = Experiment(folder.child("retest"))  # whose first run this is
    kept = keep_unit(dataset, nothing, Experiment(folder))
    assert kept is not None
    assert dataset.signature.keys() - kept.signature.keys() == {"target_mean", "target_scale"}
    assert kept == replace(dataset, signature=kept.signature)

    described["constants"] |= dataset.signature
    folder.write_json(DESCRIPTION, described)
    again = keep_unit(dataset, Experiment(folder))
    assert again is not None and again.signature == dataset.signature
