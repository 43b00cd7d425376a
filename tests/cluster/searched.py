"""An arithmetic job that notes where each epoch is trained; a gate may hold its trials.

A test copies it to where its log shall be; a file ``gate`` there holds trials in the third epoch.
"""

import pathlib

from ray import tune

from tune_jobs.engine import Job

HERE = pathlib.Path(__file__).parent


def train(config: dict, data: object) -> None:
    """Note every epoch that is really trained, and go on from a checkpoint."""
    import json
    import os
    import tempfile
    import time

    import ray
    from optimum import OPTIMUM

    here, start = pathlib.Path(config["here"]), 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int(pathlib.Path(folder, "epoch").read_text())
    for epoch in range(start + 1, config["max_epochs"] + 1):
        note = {
            "trial": int(tune.get_context().get_trial_id()),
            "epoch": epoch,
            "start": start,
            "node": ray.get_runtime_context().get_node_id(),
            "address": ray.util.get_node_ip_address(),
            "pid": os.getpid(),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "began": time.time(),
            "born_with": pathlib.Path("/proc/self/environ").read_text().split("\0"),
        }
        with (here / "log").open("a") as log:
            log.write(json.dumps(note) + "\n")
        while epoch > 2 and (here / "gate").exists():
            time.sleep(0.1)
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch").write_text(str(epoch))
            loss = (config["x"] - OPTIMUM) ** 2 + 1 / epoch
            tune.report({"loss": loss}, checkpoint=tune.Checkpoint.from_directory(folder))


JOB = Job(
    train,
    {"x": tune.uniform(0, 1), "here": str(HERE)},
    metric="loss",
    num_samples=4,
    max_epochs=4,
    finalists=None,
)
