"""The functions that go with a trainable: in its module, or its own."""

import sys
from types import ModuleType

import pytest
from ray import tune

from trainables import export as files
from tune_jobs.engine import Job, JobError
from tune_jobs.engine.job.companions import companion, own_functions, owner_of
from tune_jobs.engine.job.trust import trust
from tune_jobs.engine.runs.start_ray import find_preload


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


def make_module(source: str) -> ModuleType:
    module = ModuleType("written_by_a_user")
    exec(source, vars(module))
    return module


def test_a_trainable_that_the_library_fits_has_the_librarys_functions() -> None:
    module = make_module("from trainables.fitting import fit\ndef build(config): ...")

    for name in ("export", "load", "predict"):
        assert companion(module, name) is getattr(files, name)
    assert companion(make_module("def load(path): return path"), "load")("a") == "a"


def test_its_own_function_comes_first_and_nothing_else_gets_any() -> None:
    own = make_module("from trainables.fitting import fit\ndef load(path): return path")
    other = make_module("def fit(build): ...\ndef build(config): ...")

    assert companion(own, "load")("a") == "a"
    with pytest.raises(JobError, match="has no function 'export' next to its trainable"):
        companion(other, "export")
    with pytest.raises(JobError, match="has no function 'build' next to its trainable"):
        companion(own, "build")


def test_workers_of_such_a_trainable_import_keras_ahead(monkeypatch) -> None:
    for name, source in (("fitted", "from trainables.fitting import fit"), ("plain", "")):
        module = make_module(f"{source}\ndef train(config, data): ...")
        module.train.__module__ = name
        monkeypatch.setitem(sys.modules, name, module)
        job = Job(module.train, {"x": tune.uniform(0, 1)})

        assert find_preload(job) == ("trainables.preload.preload" if source else None)
