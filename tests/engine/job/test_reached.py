"""Code that lies in no file: what a notebook defines is known again in the next kernel."""

import json
import subprocess
import sys

import pytest

BEFORE = '''
import math
from functools import partial
import beside
RATE = 0.1
UNREAD = 1

class Model:
    """Documented."""
    depth = 2
    def call(self, x):
        return x * RATE

def helper(x, by=1):
    """Documented."""
    return math.sqrt(x) + by

def make():
    steps = [1, 2]
    def train(config, data):
        """Documented."""
        import beside
        model = Model()
        return helper(config["x"]) + sum(steps) + model.shape if config["x"] in {"a", "b"} else 0
    return train

shape = "the name of an attribute, too"
train = make()
'''

CHANGES = {
    "nothing": ("", "", False),
    "a comment": ("RATE = 0.1", "# a\nRATE = 0.1", False),
    "a docstring": ('"""Documented."""', '"""Better."""', False),
    "what it does not read": ("UNREAD = 1", "UNREAD = 2", False),
    "an attribute's namesake": ("shape = ", "shape = 'new' + ", False),
    "a number that a method reads": ("RATE = 0.1", "RATE = 0.2", True),
    "a helper": ("math.sqrt(x)", "math.exp(x)", True),
    "a default": ("by=1", "by=2", True),
    "an attribute of a class": ("depth = 2", "depth = 3", True),
    "a base of a class": ("class Model:", "class Model(partial):", True),
    "a variable of its closure": ("[1, 2]", "[1, 3]", True),
    "a constant": ('"b"}', '"c"}', True),
    "the length of a list": ("[1, 2]", "[1] * 10_000", True),
}

PROGRAM = """
import json, sys
from tune_jobs.engine.job.changes import source_of
found = []
for text in json.load(sys.stdin):
    names = {"__name__": "__main__"}
    exec(text, names)
    found.append(source_of(names["train"]))
print(json.dumps(found))
"""


def sources(folder, *texts: str) -> list[str]:
    """The hash of each text's ``train``, found in a process whose main module has no file."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join([str(folder), *filter(None, sys.path)])},
    )
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside")
    (folder / "beside.py").write_text("ANSWER = 42")
    return folder


@pytest.fixture(scope="module")
def found(folder) -> dict[str, str]:
    texts = [BEFORE.replace(old, new) if old else BEFORE for old, new, _ in CHANGES.values()]
    return dict(zip(CHANGES, sources(folder, *texts), strict=True))


@pytest.mark.parametrize("change", CHANGES)
def test_another_definition_is_another_source(found, change) -> None:
    assert (found[change] != found["nothing"]) == CHANGES[change][2]


def test_another_process_finds_the_same_source(found, folder) -> None:
    assert sources(folder, BEFORE) == [found["nothing"]]


HELD = """
from tune_jobs.engine import Job
from tune_jobs.sklearn.fitting import make_trainable
train = make_trainable(Job(train, {"x": 1}, num_samples=MOST))
"""


def test_an_object_of_the_library_counts_by_the_functions_that_it_holds(folder) -> None:
    one, more = (BEFORE + HELD.replace("MOST", number) for number in ("3", "4"))
    found = sources(folder, one, more, one.replace("math.sqrt", "math.exp"))

    assert found[0] == found[1] != found[2]


def test_a_function_that_the_library_made_has_the_source_of_the_users(folder) -> None:
    made = (
        BEFORE
        + "from tune_jobs.sklearn.fitting import make_trainable\ntrain = make_trainable(train)"
    )
    one, same, other = sources(folder, made, made, made.replace("math.sqrt", "math.exp"))

    assert one == same != other


def test_a_module_beside_the_notebook_counts(found, folder, tmp_path) -> None:
    (tmp_path / "beside.py").write_text("ANSWER = 43")
    assert sources(tmp_path, BEFORE) != [found["nothing"]]
