"""A job's functions on their way to a worker: nothing of them is imported before they are asked."""

import subprocess
import sys
from pathlib import Path

import pytest
from ray import cloudpickle

from tune_jobs.engine import JobError
from tune_jobs.engine.job.modules import find_job
from tune_jobs.engine.trials.shipping import Shipped, ship

JOB = """
import threading

import keras
from ray import tune
from tune_jobs.engine import Job

@keras.saving.register_keras_serializable("shipped")
class Double(keras.layers.Layer):
    def call(self, x):
        return 2 * x

@keras.saving.register_keras_serializable("shipped")
class Locked(keras.layers.Layer):
    lock = threading.Lock()  # no other process can have it

def train(config, data):
    return Double

JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss")
"""

WORKER = """
import sys
from pathlib import Path
from tune_jobs.engine.trials.shipping import Shipped

import keras

# As an import of the job's file by its name does, for its preload.
other = type("Double", (keras.layers.Layer,), {})
keras.saving.register_keras_serializable("shipped")(other)
train = Shipped(Path(sys.argv[1]).read_bytes()).unpack()
assert keras.saving.get_registered_object("shipped>Double") is train({}, None)
assert "my_job" not in sys.modules
"""


def test_what_a_job_file_registers_with_keras_is_registered_in_a_worker(tmp_path) -> None:
    (tmp_path / "my_job.py").write_text(JOB)
    trainable = find_job(str(tmp_path / "my_job.py")).job.trainable
    (tmp_path / "shipped").write_bytes(ship(trainable, of=trainable).content)
    (tmp_path / "my_job.py").unlink()

    ran = subprocess.run(
        [sys.executable, "-c", WORKER, tmp_path / "shipped"], capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr


HALVES = """
import sys, threading, time, types
from ray import cloudpickle
from tune_jobs.engine.trials.shipping import Shipped

def load():
    assert "package" in sys.modules, "unpacked before its import has ended"
    return "found", {}

class Late:
    def __reduce__(self):
        return load, ()

def preload():
    time.sleep(0.5)
    sys.modules["package"] = types.ModuleType("package")

content = cloudpickle.dumps(Late())
threading.Thread(target=preload, name="preload").start()
assert Shipped(content).unpack() == "found"
"""


def test_a_trial_waits_for_what_is_imported_when_its_worker_starts() -> None:
    ran = subprocess.run([sys.executable, "-c", HALVES], capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "workers cannot import the trainable: ModuleNotFoundError: No module named 'gone'"),
        ("raise OSError('a\\nb')", "workers cannot import the trainable: OSError: a b; "),
        ("import sys; sys.exit(0)", "workers cannot import the trainable: SystemExit: 0; "),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch, text, message) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = Path(tmp_path, "gone.py")
    path.write_text("def train(config, data): ...")
    content = cloudpickle.dumps((__import__("gone").train, {}))
    del sys.modules["gone"]
    path.unlink() if text is None else path.write_text(text)

    with pytest.raises(JobError, match=message) as caught:
        Shipped(content).unpack()

    assert "\n" not in str(caught.value)
