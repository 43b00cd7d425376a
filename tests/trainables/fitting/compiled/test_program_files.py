"""Programs in files: loaded in place of traced, and never from a file that cannot be trusted."""

import hashlib
import os

import keras
import numpy as np
import pytest
from keras import layers

from trainables import tabular_mlp
from trainables.fitting import fit
from trainables.fitting.compiled import fit as compiled
from trainables.fitting.compiled import program_files
from trainables.fitting.compiled.kept_programs import KeptPrograms
from trainables.fitting.compiled.program_files import read_program, write_program

MLP = {"input_shape": (6,), "task": "binary", "outputs": 1, "rows": 70, "max_epochs": 3, "seed": 4}
MLP |= {"layers": [{"units": 8, "dropout": 0.2}], "batch_normalisation": True}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the programs that the tests' processes write."""
    monkeypatch.setenv("TUNE_JOBS_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "PROGRAMS", KeptPrograms(4096.0))
    return tmp_path / "programs"


def make_data(**more):
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 6)).astype("float32")
    y = random.integers(0, 2, 100).astype("float32")
    names = ("x_train", "y_train", "x_validation", "y_validation")
    return type("Data", (), dict(zip(names, (x[:70], y[:70], x[70:], y[70:]), strict=True)) | more)


def test_a_program_is_read_as_it_was_written_by_its_user_alone(folder):
    write_program("a", b"content")

    assert read_program("a") == b"content"
    assert read_program("b") is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


PACKED_OTHERWISE = hashlib.sha256(b"content").digest() + b"content"


@pytest.mark.parametrize("damage", [b"", b"x", b"y" * 500, PACKED_OTHERWISE])
def test_a_damaged_file_is_deleted(folder, damage):
    write_program("a", b"content")
    (path,) = folder.iterdir()
    path.write_bytes(damage)

    assert read_program("a") is None
    assert not path.exists()


def test_what_others_may_have_written_is_ignored(folder, tmp_path, monkeypatch):
    write_program("a", b"content")
    (path,) = folder.iterdir()
    path.chmod(0o620)
    assert read_program("a") is None
    path.chmod(0o600)
    assert read_program("a") == b"content"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert read_program("a") is None
    monkeypatch.setattr(os, "getuid", lambda: -1)
    assert read_program("a") is None


def test_a_folder_that_is_open_to_others_is_closed(folder):
    folder.mkdir(mode=0o755)
    write_program("a", b"content")

    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_least_used_programs_go_first_and_what_was_never_finished_too(folder, monkeypatch):
    monkeypatch.setattr(program_files, "MOST_FILES", 2)
    for age, name in enumerate("cab"):
        write_program(name, b"content")
        os.utime(folder / f"{name}.program", (1000 + age, 1000 + age))
    (folder / "unfinished").write_bytes(b"")
    os.utime(folder / "unfinished", (1000, 1000))
    assert read_program("a") is not None  # used now
    write_program("d", b"content")

    assert sorted(path.name for path in folder.iterdir()) == ["a.program", "d.program"]
    monkeypatch.setattr(program_files, "MOST_BYTES", 1)
    write_program("e", b"content")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("value", ["off", "relative", "/dev/null/folder", "~nobody-at-all/cache"])
def test_without_a_folder_nothing_is_kept_and_nothing_fails(value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNE_JOBS_CACHE", value)
    write_program("a", b"content")

    assert read_program("a") is None
    assert list(tmp_path.iterdir()) == []


def score(truth, outputs):
    return float(np.mean(np.abs(truth - outputs[:, 0])))


@pytest.mark.parametrize("more", [{}, {"scorers": {"distance": score}}], ids=["plain", "scorer"])
def test_a_loaded_program_gives_bit_for_bit_what_the_traced_one_does(
    folder, monkeypatch, sessions, more
):
    data = make_data(**more)
    traced = tabular_mlp.train(MLP, data)
    memory = compiled.PROGRAMS.memory
    compiled.PROGRAMS.clear()
    monkeypatch.setattr(compiled, "Program", None)  # nothing is traced any more
    config = MLP | {"layers": [{"units": 8, "dropout": 0.2}]}
    loaded = tabular_mlp.train(config, data)

    assert [session.path for session in sessions] == ["compiled", "compiled"]
    assert loaded.history.history == traced.history.history
    assert len(traced.history.history) == 4 + len(more)
    for one, other in zip(traced.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(one, other)
    wider = tabular_mlp.train(MLP | {"layers": [{"units": 12, "dropout": 0.0}]}, data)
    assert wider.layers[1].units == 12
    assert len(compiled.PROGRAMS) == 1
    assert 0.4 * memory < compiled.PROGRAMS.memory < 0.7 * memory  # it has no graph in Python


def test_a_program_that_cannot_be_run_is_traced_again(folder, sessions):
    tabular_mlp.train(MLP, make_data())
    (path,) = folder.iterdir()
    write_program(path.stem, b"this is no program")
    compiled.PROGRAMS.clear()
    tabular_mlp.train(MLP, make_data())

    assert [session.path for session in sessions] == ["compiled", "compiled"]
    assert read_program(path.stem) != b"this is no program"


def test_another_version_of_the_code_loads_no_older_program(folder, monkeypatch):
    names = [program_files.name_program("x")]
    monkeypatch.setattr(program_files, "hash_code", lambda: "another")
    names.append(program_files.name_program("x"))
    monkeypatch.undo()
    monkeypatch.setattr(keras, "__version__", "3.16")
    names.append(program_files.name_program("x"))
    names.append(program_files.name_program("y"))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        names.append(program_files.name_program("y"))
    finally:
        keras.config.set_dtype_policy(policy)

    assert len(set(names)) == 5


def own_loss(truth, outputs):
    return keras.ops.mean(keras.ops.square(truth - outputs), axis=-1)


@keras.saving.register_keras_serializable(package="test_program_files")
class Doubling(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@pytest.mark.parametrize(
    ("layer", "loss"),
    [(Doubling, "mean_squared_error"), (lambda: layers.Activation("relu"), own_loss)],
    ids=["layer", "loss"],
)
def test_code_that_another_process_may_not_have_is_in_no_file(folder, layer, loss):
    def build(config):
        model = keras.Sequential([keras.Input((6,)), layers.Dense(1), layer()])
        model.compile("sgd", loss)
        return model

    fit(build, {"max_epochs": 1}, make_data())
    fit(build, {"max_epochs": 1}, make_data())

    assert len(compiled.PROGRAMS) == 1
    assert not folder.exists()
