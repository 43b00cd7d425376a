"""The public names: everything that a job module is written with, and ``run``.

Names are imported when first used, so that reading an error class or a profile costs no Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_jobs.engine.data.evaluation import Evaluation
    from tune_jobs.engine.data.images import images
    from tune_jobs.engine.data.table import table
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.experiments.experiment import Experiment, open_experiment
    from tune_jobs.engine.job.finalists import Finalists
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.profile import Profile, load_profile
    from tune_jobs.engine.job.stage import Stage
    from tune_jobs.engine.runs.run import run
    from tune_jobs.engine.search.schedulers import ASHA, Hyperband, MedianStopping
    from tune_jobs.engine.search.searchers import (
        TPE,
        Auto,
        GaussianProcess,
        HyperOptTPE,
        RandomSearch,
    )
    from tune_jobs.engine.space.domains import compose
    from tune_jobs.engine.space.grid import as_grid
    from tune_jobs.engine.space.near_one import near_one

_HOMES = {
    "data.evaluation": ("Evaluation",),
    "data.images": ("images",),
    "data.table": ("table",),
    "errors": ("JobError",),
    "experiments.experiment": ("Experiment", "open_experiment"),
    "job.finalists": ("Finalists",),
    "job.job": ("Job",),
    "job.profile": ("Profile", "load_profile"),
    "job.stage": ("Stage",),
    "runs.run": ("run",),
    "search.schedulers": ("ASHA", "Hyperband", "MedianStopping"),
    "search.searchers": ("Auto", "TPE", "GaussianProcess", "HyperOptTPE", "RandomSearch"),
    "space.domains": ("compose",),
    "space.grid": ("as_grid",),
    "space.near_one": ("near_one",),
}

__all__ = [
    "ASHA",
    "TPE",
    "Auto",
    "Evaluation",
    "Experiment",
    "Finalists",
    "GaussianProcess",
    "HyperOptTPE",
    "Hyperband",
    "Job",
    "JobError",
    "MedianStopping",
    "Profile",
    "RandomSearch",
    "Stage",
    "as_grid",
    "compose",
    "images",
    "load_profile",
    "near_one",
    "open_experiment",
    "run",
    "table",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
