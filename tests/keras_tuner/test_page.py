"""The page for those who come from KerasTuner."""

import inspect
import re
from pathlib import Path

import keras

import tune_jobs.keras_tuner as kt
from tune_jobs.keras_tuner.conversion import to_space
from tune_jobs.keras_tuner.declarations import Condition
from tune_jobs.keras_tuner.probing import find_space

PAGE = Path(__file__).parents[2].joinpath("docs/from_keras_tuner.md").read_text(encoding="utf-8")
METHODS = [getattr(kt.HyperParameters, name) for name in ("Int", "Float", "Choice", "Fixed")]
TUNERS = [kt.Tuner, kt.RandomSearch, kt.BayesianOptimization, kt.Hyperband, kt.GridSearch]


def names_in(heading):
    """The names in the first column of a section's table."""
    section = PAGE.split(f"## {heading}")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def arguments_of(functions):
    found = {name for each in functions for name in inspect.signature(each).parameters}
    return found - {"self", "oracle", "kwargs", "unknown"}


def test_the_tables_have_all_arguments_and_no_others():
    assert names_in("Hyperparameters") == arguments_of(METHODS)
    assert names_in("Tuners") == arguments_of([each.__init__ for each in TUNERS])


def test_the_program_of_the_page_has_the_space_that_the_page_describes():
    names = {"keras": keras}
    exec(re.search(r"```python\n(def build\(hp\).*?)```", PAGE, re.DOTALL)[1], names)

    hp = find_space(names["build"])

    assert hp.found == {
        "units_1": (Condition("layers", (2, 3)),),
        "units_2": (Condition("layers", (3,)),),
        "rate": (Condition("dropout", (True,)),),
    }
    assert hp.unread == []
    assert to_space(hp).keys() == {"layers", "units_0", "dropout"}


def test_what_the_page_says_is_not_there_is_not_there():
    for name in ("applications", "SklearnTuner"):
        assert name in PAGE
        assert not hasattr(kt, name)
