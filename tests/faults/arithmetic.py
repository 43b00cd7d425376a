"""An arithmetic job with finals, whose trials take no time."""

import sys

from ray import cloudpickle, tune

from tune_jobs.engine import Job
from tune_jobs.engine.job.finalists import Finalists

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def train(config: dict, data: object) -> None:
    for epoch in range(1, config["max_epochs"] + 1):
        tune.report({"loss": config["x"] + 1 / epoch})


JOB = Job(
    train,
    {"x": tune.uniform(0, 1)},
    metric="loss",
    num_samples=4,
    max_epochs=2,
    finalists=Finalists(count=2, scores=2),
)
