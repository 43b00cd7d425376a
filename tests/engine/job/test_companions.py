"""The functions that go with a trainable: in its module, or its own."""

import sys

import pytest

from trainables import export as files
from tune_jobs.engine import JobError
from tune_jobs.engine.job.companions import companion, own_functions, owner_of
from tune_jobs.engine.job.trust import trust


def train(config, data): ...


def load(path): ...


def make_trainable():
    def made(config, data): ...

    made.build = lambda config: config["units"]
    made.export = files.export
    return made


def test_a_trainable_that_a_program_made_has_its_own_functions() -> None:
    made = make_trainable()

    assert owner_of(made) is made
    assert companion(owner_of(made), "build")({"units": 8}) == 8
    assert own_functions(made) == ()  # those of the library are not its own
    assert trust(made).functions is made
    assert trust(made).is_made


def test_another_trainable_has_those_of_its_module() -> None:
    module = sys.modules[__name__]

    assert owner_of(train) is module
    assert own_functions(train) == ("load",)
    assert trust(train).functions is module
    assert not trust(train).is_made
    with pytest.raises(JobError, match="has no function 'predict' next to its trainable"):
        companion(owner_of(train), "predict")
