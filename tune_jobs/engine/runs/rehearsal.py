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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.data.own_data import OwnData, unpack_sets
from tune_jobs.engine.errors import JobError, first_line, is_mistake, reason_of
from tune_jobs.engine.experiments.files import MODEL
from tune_jobs.engine.experiments.messages import why_unusable
from tune_jobs.engine.experiments.model_file import load_model
from tune_jobs.engine.job.companions import MODEL_FILES, companion
from tune_jobs.engine.job.metric import why_unreported
from tune_jobs.engine.job.modules import import_module
from tune_jobs.engine.job.trust import Trusted
from tune_jobs.engine.plain import plain
from tune_jobs.engine.runs.scene import PLACES, SCENE, Scene, make_scene, write_scene
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.trials.shipping import Shipped

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job

# Seconds for everything; after that a rehearsal proves nothing, and is no error.
LIMIT = 120.0

TRAINED, ACTED, READ = "train.json", "act.json", "read.json"
CODE = "import sys; from tune_jobs.engine.runs import rehearsal; rehearsal.{}(sys.argv[1])"


class UnreportedError(JobError):
    """Raised for a metric that decides and is not reported."""


class FailedError(JobError):
    """Raised for a model that cannot be trained, saved or read."""


@dataclass(frozen=True)
class Wait:
    """The wait for a rehearsal.

    Attributes:
        folder: its files.
        metric: what decides.
        ends: when to give up, as ``time.monotonic`` has it.
    """

    folder: Path
    metric: str
    ends: float

    def result(self, name: str, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Return what a process said.

        Raises:
            UnreportedError: if the metric is not among those that it reports.
            FailedError: if it failed.
            TimeoutError: if the time is over.
        """
        try:
            process.wait(max(self.ends - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        if not (self.folder / name).exists():
            raise self._died(name, process)
        said: dict[str, Any] = json.loads((self.folder / name).read_text())
        if (known := said.get("metrics")) and self.metric not in known:
            raise UnreportedError(why_unreported(self.metric, known))
        if "error" in said:
            error = said["error"].replace(f"{self.folder}: ", "")
            raise FailedError(f"the smallest model cannot {said['stage']}: {error}")
        return said

    def _died(self, name: str, process: subprocess.Popen[bytes]) -> FailedError:
        log = (self.folder / name).with_suffix(".log")
        lines = log.read_text(errors="replace").strip().splitlines() or ["it says nothing"]
        return FailedError(
            f"the smallest model ends the process that tries it (exit code {process.returncode}): "
            f"{lines[-1]}"
        )


@contextlib.contextmanager
def rehearsing(job: Job, data: Dataset | OwnData | None) -> Iterator[Callable[[], str]]:
    """Start a rehearsal, which goes on during the block.

    Yields:
        A function that waits for its end, and returns a line about it. It raises a JobError if the
        model cannot be trained, saved or read.
    """
    try:
        scene = make_scene(job, data)
    except JobError as reason:
        said = f"not done: {reason}"
        yield lambda: said
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        write_scene(scene, Path(folder))
        acting = stack.enter_context(_process("act", folder))
        reading = stack.enter_context(_process("read", folder))
        wait = Wait(Path(folder), scene.metric, time.monotonic() + LIMIT)
        yield lambda: _follow(wait, acting, reading)


def refuse_unreported(job: Job, data: Dataset | OwnData | None) -> None:
    """Train one batch of a job's smallest model, and refuse a metric that it does not report.

    The loss and what the evaluation scores are always reported. Another failure shows in the run.

    Raises:
        UnreportedError: naming the metrics that are reported.
    """
    scored = job.evaluation.metrics if job.evaluation else ()
    if job.metric in ("loss", "val_loss", *scored):
        return
    try:
        scene = make_scene(job, data)
    except JobError:
        return  # it cannot be tried
    with contextlib.suppress(FailedError, TimeoutError), tempfile.TemporaryDirectory() as folder:
        write_scene(scene, Path(folder))
        with _process("train", folder) as training:
            Wait(Path(folder), job.metric, time.monotonic() + LIMIT).result(TRAINED, training)


def train(folder: str) -> None:
    """Train the model of a scene, as a worker does; called in a fresh process."""
    with _told(Path(folder, TRAINED)) as said:
        _train(Path(folder), said)


def act(folder: str) -> None:
    """Train, save and read the model of a scene, as a worker does; called in a fresh process."""
    place = Path(folder)
    with _told(place / ACTED) as said:
        scene, model = _train(place, said)
        if said["metrics"] and scene.metric not in said["metrics"]:
            return  # whoever waits for this refuses it
        recipe, path = scene.recipe, str(place / MODEL)
        said["stage"] = "be saved"
        # Without a model a run exports the checkpoint of a trial, whose weights do not matter here.
        build = (lambda _: model) if hasattr(model, "predict") else recipe.build
        recipe.export(build, recipe.config, None, recipe.preprocessing, path)
        said["stage"] = "be read from its file"
        _predict(recipe.load(path), recipe.predict, scene.inputs)


def _train(place: Path, said: dict[str, Any]) -> tuple[Scene, Any]:
    """Train the model of a scene, and note its metrics; return the scene and the model."""
    from ray import tune

    reports: list[dict[str, Any]] = []
    tune.report = lambda metrics, **_: reports.append(metrics)
    said["stage"] = "be sent to a worker"
    scene: Scene = Shipped((place / SCENE).read_bytes()).unpack()
    said["stage"] = "be trained"
    with _noting_metrics(said), tempfile.TemporaryDirectory() as aside, contextlib.chdir(aside):
        model = scene.train(scene.recipe.config, unpack_sets(scene.data))
    said["metrics"] = _metrics_of(model, reports, scene.metric)
    return scene, model


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
def _noting_metrics(said: dict[str, Any]) -> Iterator[None]:
    """Note the metrics that an exception for want of the one that decides says are reported."""
    try:
        yield
    except Exception as error:
        said["metrics"] = getattr(error, "reported", [])
        raise


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
        JobError: if the one that decides is not a number.
    """
    if reports:
        if metric in reports[0] and (said := why_unusable(reports[0], metric)):
            raise JobError(said)
        return sorted(reports[0])
    return sorted(getattr(getattr(model, "history", None), "history", None) or {})


def _predict(model: Any, predict: Callable[..., Any], inputs: Any) -> None:
    if inputs is not None:
        predict(model, inputs)


def _follow(wait: Wait, acting: subprocess.Popen[bytes], reading: subprocess.Popen[bytes]) -> str:
    """Wait for the two processes, one after the other.

    Raises:
        JobError: if one has failed.
    """
    try:
        acted = wait.result(ACTED, acting)
        assert reading.stdin is not None
        with contextlib.suppress(OSError):  # it has died, which shows below
            reading.stdin.write(b"\n")
            reading.stdin.flush()
        wait.result(READ, reading)
    except TimeoutError:
        return f"not finished in {LIMIT:g} s, as on a busy machine: a run may still fail at its end"
    names = ", ".join(acted.get("metrics", ())) or "metrics that are not known before a run"
    return f"one batch trained, saved and read in a fresh process; reports {names}"
