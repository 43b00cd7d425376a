"""Trials on GPUs that only Ray believes in; prints what their processes saw as JSON.

test_devices.py runs this in a process of its own, and says what must have been seen.
"""

import json
import os
import sys
import tempfile
import threading
from types import SimpleNamespace

import numpy as np
import ray
from ray import tune

from trainables import tabular_mlp
from trainables.fitting.devices import reserved_gpus
from trainables.preload import preload

CONFIG = {"task": "binary", "input_shape": [2], "outputs": 1, "rows": 8, "layers": [{"units": 4}]}


def train(config):
    import keras  # noqa: F401 - waits for the import that is under way
    from tensorflow.python.eager.context import context

    for thread in threading.enumerate():
        if thread.name == "preload":
            thread.join()
    seen = {
        "started": context()._physical_devices is not None or context()._initialized,
        "is_reused": "FITTED" in os.environ,
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "reserved": reserved_gpus(),
    }
    os.environ["FITTED"] = "yes"
    x = np.eye(8, 2, dtype="float32")
    data = SimpleNamespace(x_train=x, y_train=x[:, 0], x_validation=x, y_validation=x[:, 0])
    tabular_mlp.train(CONFIG | {"max_epochs": 1}, data)
    tune.report(seen)


def main(gpus, folder):
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=4,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": preload},
    )
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1, "gpu": gpus}),
        tune_config=tune.TuneConfig(num_samples=4, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    )
    names = ("started", "is_reused", "visible", "reserved")
    print(json.dumps([{name: each.metrics[name] for name in names} for each in tuner.fit()]))
    ray.shutdown()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(float(sys.argv[1]), folder)
