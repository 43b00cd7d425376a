"""A model file that is damaged, or something else: predict and export say it in one line."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sklearn.datasets import load_wine

from tune_jobs.cli.main import main

FIXTURE = Path(__file__).parents[1] / "fixtures" / "experiment_0_1"
WHOLE = (FIXTURE / "best.keras").read_bytes()


def rewrite(change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The whole file with some of its parts changed."""
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


def with_config(text: bytes | str) -> bytes:
    return rewrite(lambda parts: parts.update({"config.json": text}))


def without(name: str) -> bytes:
    return rewrite(lambda parts: parts.pop(name))


def flip(content: bytes) -> bytes:
    """One bit of the weights changed, in the middle of the archive."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "config": {
        "name": "twice",
        "function": {"class_name": "__lambda__", "config": {"value": "4w"}},
    },
}
FOREIGN = {
    "module": "os",
    "class_name": "system",
    "config": "true",
    "registered_name": "system",
}
DAMAGES = {
    "empty": (b"", "is not a Keras model"),
    "text": (b"best.keras", "is not a Keras model"),
    "a pickle": (b"\x80\x04K\x01.", "is not a Keras model"),
    "cut to 10 bytes": (WHOLE[:10], "is damaged (cut off)"),
    "cut in half": (WHOLE[: len(WHOLE) // 2], "is damaged (cut off)"),
    "cut by a byte": (WHOLE[:-1], "is damaged (cut off)"),
    "a flipped bit": (flip(WHOLE), "is damaged ("),
    "another archive": (without("config.json"), "it has no config.json"),
    "without weights": (without("model.weights.h5"), "it has no model.weights.h5"),
    "no JSON": (with_config('{"class_name": "Func'), "is damaged (config.json)"),
    "no text": (with_config(b"\xff\xfe"), "is damaged (config.json)"),
    "a million braces": (with_config('{"a":' * 10**6), "is damaged (config.json)"),
    "a number": (with_config("3"), "is not a Keras model"),
    "a Lambda": (with_config(json.dumps(LAMBDA)), "train again with a registered layer"),
}
UNLOADABLE = {
    "a class of os": (with_config(json.dumps(FOREIGN)), "needs 'system', which module 'os' reg"),
    "no layers": (with_config('{"class_name": "Functional", "config": {}}'), "cannot be loaded: "),
    "other weights": (
        rewrite(lambda parts: parts.update({"model.weights.h5": b"no weights"})),
        "cannot be loaded: ",
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    load_wine(as_frame=True).data.head(3).to_csv("rows.csv", index=False)
    shutil.copytree(FIXTURE, "results/mine")
    return tmp_path


def check_line(words: tuple[str, ...], message: str) -> None:
    ran = CliRunner().invoke(main, list(words), catch_exceptions=False)
    assert ran.exit_code == 2, ran.output
    assert ran.stderr.startswith("error: ")
    assert message in ran.stderr
    assert "best.keras" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not Path(words[-1]).exists()


PREDICT = ("predict", "results/mine", "rows.csv", "out.csv")
EXPORT = ("export", "results/mine", "model.keras")


@pytest.mark.parametrize(("content", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_file_is_one_line(here, content, message) -> None:
    Path("results/mine/best.keras").write_bytes(content)

    check_line(PREDICT, message)
    check_line(EXPORT, message)


@pytest.mark.parametrize(("content", "message"), UNLOADABLE.values(), ids=UNLOADABLE)
def test_a_model_that_cannot_be_loaded_is_one_line(here, content, message) -> None:
    Path("results/mine/best.keras").write_bytes(content)

    check_line(PREDICT, message)


def test_a_folder_in_place_of_a_model_file_is_one_line(here) -> None:
    Path("results/mine/best.keras").unlink()
    Path("results/mine/best.keras").mkdir()

    check_line(PREDICT, "best.keras cannot be read")
    check_line(EXPORT, "best.keras cannot be read")


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
@pytest.mark.parametrize("columns", [None, ["other"], list(load_wine().feature_names)])
def test_the_model_of_another_experiment_is_one_line(here, columns) -> None:
    import keras

    inputs = {name: keras.Input((1,), name=f"input_{i}") for i, name in enumerate(columns or "x")}
    first = next(iter(inputs.values()))
    model = keras.Model(inputs if columns else first, keras.layers.Dense(1)(first))
    model.save("results/mine/best.keras")

    check_line(PREDICT, "does not take the columns of mine")
