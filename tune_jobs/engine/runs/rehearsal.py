"""Rehearse a job: train one batch of its smallest model, save it, and read the file elsewhere.

One fresh process does what the workers of a run do, another one what ``predict`` does later. The
functions travel as they travel to a worker, so that a layer that gets lost on the way shows here.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.engine.data.dataset import Replica, TrainingData
from tune_jobs.engine.data.own_data import OwnData
from tune_jobs.engine.errors import JobError, first_line, is_mistake, reason_of
from tune_jobs.engine.experiments.files import MODEL
from tune_jobs.engine.experiments.messages import why_unusable
from tune_jobs.engine.experiments.model_file import load_model
from tune_jobs.engine.finals.making import Recipe
from tune_jobs.engine.job.companions import companion
from tune_jobs.engine.job.modules import import_module
from tune_jobs.engine.job.trust import MODEL_FILES, Trusted
from tune_jobs.engine.plain import plain
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.grid import extremes
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.trials.shipping import Shipped, ship

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job

# Seconds for everything; after that a rehearsal proves nothing, and is no error.
LIMIT = 120.0

# Rows that are predicted, and rows that are scored without scorers of one's own.
FEW, SCORED = 4, 256
BATCH_SIZE = 32

SCENE, PLACES, ACTED, READ = "scene.pkl", "places.pkl", "acted.json", "read.json"
CODE = "import sys; from tune_jobs.engine.runs import rehearsal; rehearsal.{}(sys.argv[1])"


@dataclass(frozen=True)
class Scene:
    """All that the two processes need.

    Attributes:
        train: the job's trainable.
        recipe: the functions that make and read a model file.
        metric: what decides.
        data: one batch, and validation rows.
        inputs: rows as the model file takes them; None without data.
        module: the place of the trainable's module, which ``predict --trust`` would import; None
            if it is no file.
    """

    train: Callable[..., Any]
    recipe: Recipe
    metric: str
    data: Any
    inputs: Any
    module: str | None


@contextlib.contextmanager
def rehearsing(job: Job, data: Dataset | OwnData | None) -> Iterator[Callable[[], str]]:
    """Start a rehearsal, which goes on during the block.

    Yields:
        A function that waits for its end, and returns a line about it. It raises a JobError if the
        model cannot be trained, saved or read.
    """
    try:
        scene = _make_scene(job, data)
    except JobError as reason:
        said = f"not done: {reason}"
        yield lambda: said
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        _write_scene(scene, Path(folder))
        acting = stack.enter_context(_process("act", folder))
        reading = stack.enter_context(_process("read", folder))
        ends = time.monotonic() + LIMIT
        yield lambda: _follow(Path(folder), acting, reading, ends)


def act(folder: str) -> None:
    """Train, save and read the model of a scene, as a worker does; called in a fresh process."""
    from ray import tune

    reports: list[dict[str, Any]] = []
    tune.report = lambda metrics, **_: reports.append(metrics)
    place = Path(folder)
    with _told(place / ACTED) as said:
        said["stage"] = "be sent to a worker"
        scene: Scene = Shipped((place / SCENE).read_bytes()).unpack()
        recipe, path = scene.recipe, str(place / MODEL)
        said["stage"] = "be trained"
        with tempfile.TemporaryDirectory() as aside, contextlib.chdir(aside):
            model = scene.train(recipe.config, scene.data)
        said["metrics"] = _metrics_of(model, reports, scene.metric)
        said["stage"] = "be saved"
        # Without a model a run exports the checkpoint of a trial, whose weights do not matter here.
        build = (lambda _: model) if hasattr(model, "predict") else recipe.build
        recipe.export(build, recipe.config, None, recipe.preprocessing, path)
        said["stage"] = "be read from its file"
        _predict(recipe.load(path), recipe.predict, scene.inputs)


def read(folder: str) -> None:
    """Read the model file of a scene, as ``predict`` does; called in a fresh process."""
    from ray import cloudpickle

    place = Path(folder)
    sys.stdin.readline()  # the file is there
    with _told(place / READ) as said:
        said["stage"] = "be read from its file in a fresh process"
        named, inputs = cloudpickle.loads((place / PLACES).read_bytes())
        module = import_module(named or MODEL_FILES).module
        load, predict = companion(module, "load"), companion(module, "predict")
        content = (place / MODEL).read_bytes()
        model = load_model(open_folder(folder), content, load, Trusted(module), {})
        _predict(model, predict, inputs)


def _make_scene(job: Job, data: Dataset | OwnData | None) -> Scene:
    """Gather what a rehearsal needs.

    Raises:
        JobError: if the trainable's module lacks a function.
    """
    module = sys.modules[job.trainable.__module__]
    names = ("build", "export", "load", "predict")
    dataset = None if isinstance(data, OwnData) else data
    smallest = {**extremes(job.space)[0], **job.constants(dataset)}
    config = {**smallest, "max_epochs": 1, "rungs": []}
    functions = {name: companion(module, name) for name in names}
    recipe = Recipe(
        **functions,
        config=config,
        checkpoint=None,
        preprocessing=dataset.preprocessing if dataset else None,
    )
    return Scene(
        train=job.trainable,
        recipe=recipe,
        metric=job.metric,
        data=_one_batch(data, config),
        inputs=_few_rows(dataset.raw_test) if dataset else None,
        module=_place_of(module.__name__),
    )


def _place_of(module: str) -> str | None:
    """Return what a user would name to import a module: its file, or its dotted name."""
    file = getattr(sys.modules[module], "__file__", None)
    if module == "__main__" or file is None:
        return None
    return module if "." in module else str(Path(file).absolute())


def _one_batch(data: Dataset | OwnData | None, config: Config) -> Any:
    """Return what a trainable gets of the data: a training batch, and some validation rows."""
    size = config.get("batch_size", BATCH_SIZE)
    size = size if isinstance(size, int) else BATCH_SIZE
    if isinstance(data, OwnData):
        return data.cut(size, max(size, SCORED)).training
    return None if data is None else _first_batch(data.training, size)


def _first_batch(training: TrainingData, size: int) -> TrainingData:
    """Return a training batch of the first replica, its validation rows, and at most two seeds."""
    first = training.replicas[0] if training.replicas else Replica(0)
    rows = np.arange(len(training.y_train)) if first.train is None else first.train
    held = np.arange(len(training.y_validation)) if first.validation is None else first.validation
    rows = rows[:size]
    held = held if training.scorers else held[:SCORED]
    return replace(
        training,
        x_train=training.x_train[rows],
        y_train=training.y_train[rows],
        x_validation=training.x_validation[held],
        y_validation=training.y_validation[held],
        replicas=tuple(Replica(each.seed) for each in training.replicas[:2]),
    )


def _few_rows(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: column[:FEW] for name, column in inputs.items()}
    return inputs[:FEW]


def _write_scene(scene: Scene, folder: Path) -> None:
    from ray import cloudpickle

    (folder / SCENE).write_bytes(ship(scene, of=scene.train).content)
    (folder / PLACES).write_bytes(cloudpickle.dumps((scene.module, scene.inputs)))


@contextlib.contextmanager
def _process(function: str, folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """Call a function of this module in a fresh process, which ends with the block."""
    places = [place or str(Path.cwd()) for place in sys.path]
    with Path(folder, f"{function}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE.format(function), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[dict[str, Any]]:
    """Write what a block says, and the exception that ends it, to a file of JSON."""
    said: dict[str, Any] = {}
    try:
        yield said
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the other process raises it
        is_known = is_mistake(error) or str(error).startswith(MODEL)
        text = first_line(error) if is_known else f"{type(error).__name__}: {error}"
        said["error"] = reason_of(ValueError(text))
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(plain(said)))
    temporary.replace(path)


def _metrics_of(model: Any, reports: list[dict[str, Any]], metric: str) -> list[str]:
    """Return the names of the metrics that a trainable reports.

    Raises:
        JobError: if the one that decides is not among those that it reports itself.
    """
    if reports:
        if said := why_unusable(reports[0], metric):
            raise JobError(said)
        return sorted(reports[0])
    return sorted(getattr(getattr(model, "history", None), "history", None) or {})


def _predict(model: Any, predict: Callable[..., Any], inputs: Any) -> None:
    if inputs is not None:
        predict(model, inputs)


def _follow(
    folder: Path, acting: subprocess.Popen[bytes], reading: subprocess.Popen[bytes], ends: float
) -> str:
    """Wait for the two processes, one after the other.

    Raises:
        JobError: if one has failed.
    """
    try:
        acted = _result(folder, ACTED, acting, ends)
        assert reading.stdin is not None
        with contextlib.suppress(OSError):  # it has died, which shows below
            reading.stdin.write(b"\n")
            reading.stdin.flush()
        _result(folder, READ, reading, ends)
    except TimeoutError:
        return f"not finished within {LIMIT:g} s, so a run may still fail at its end"
    names = ", ".join(acted.get("metrics", ())) or "metrics that are not known before a run"
    return f"one batch trained, saved and read in a fresh process; reports {names}"


def _result(
    folder: Path, name: str, process: subprocess.Popen[bytes], ends: float
) -> dict[str, Any]:
    """Return what a process said.

    Raises:
        JobError: if it failed.
        TimeoutError: if the time is over.
    """
    try:
        process.wait(max(ends - time.monotonic(), 0.0))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if not (folder / name).exists():
        log = (folder / ("act.log" if name == ACTED else "read.log")).read_text(errors="replace")
        lines = log.strip().splitlines() or ["it says nothing"]
        raise JobError(
            f"the smallest model ends the process that tries it (exit code {process.returncode}): "
            f"{lines[-1]}"
        )
    said: dict[str, Any] = json.loads((folder / name).read_text())
    if "error" in said:
        error = said["error"].replace(f"{folder}: ", "")
        raise JobError(f"the smallest model cannot {said['stage']}: {error}")
    return said
