"""Describe a run before it begins: job, data, versions, machine."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.data.inspection.facts import TableFacts
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.changes import modules_beside, source_of
from tune_jobs.engine.job.companions import is_ours, own_functions
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.space.domains import Space
from tune_jobs.engine.space.notation import describe

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.setup import Setup


def describe_job(setup: Setup) -> Description:
    """Describe a run of a job."""
    job, dataset = setup.job, setup.dataset
    described = replace(
        describe_settings(job),
        own_functions=own_functions(job.trainable),
        modules=_modules_of(job.trainable),
        commit=find_commit(job.trainable),
        constants=job.constants(dataset),
        fingerprint=setup.data.fingerprint if setup.data else None,
        preprocessing=dataset.preprocessing if dataset else None,
        table=_facts_of(dataset) if dataset else None,
        command=dict(setup.command),
        slot=setup.slot,
    )
    return add_provenance(described, setup.profile)


def _facts_of(dataset: Dataset) -> TableFacts | None:
    if not dataset.columns:
        return None
    classes = {str(name): rows for name, rows in dataset.classes.items()}
    return TableFacts(
        dataset.columns, dataset.width, classes, dataset.notes, tuple(dataset.warnings)
    )


def _modules_of(trainable: Callable[..., Any]) -> dict[str, str]:
    """Return the files of a trainable's own modules; what came with this library is known."""
    name = trainable.__module__
    return {} if is_ours(name) or name not in sys.modules else modules_beside(sys.modules[name])


def describe_settings(job: Job) -> Description:
    """Describe a job alone, without its data and its machine."""
    return replace(
        describe_search(
            f"{job.trainable.__module__}.{job.trainable.__qualname__}",
            job.goal,
            max_epochs=job.max_epochs,
            space=job.space,
        ),
        source=source_of(job.trainable),
        num_trials=job.num_trials,
        seed=job.seed,
        searcher=repr(job.searcher),
        scheduler=repr(job.scheduler),
        data=repr(job.data),
        evaluation=repr(job.evaluation),
        finalists=repr(job.finalists),
    )


def describe_search(trainable: str, goal: Goal, *, max_epochs: int, space: Space) -> Description:
    """Describe what every search has; its data, machine and versions are not known yet."""
    return Description(
        trainable=trainable,
        metric=goal.metric,
        mode=goal.mode,
        max_epochs=max_epochs,
        space=describe(space),
        commit=None,
        constants={},
        fingerprint=None,
        preprocessing=None,
        resources={},
        started=None,
        machine=None,
        versions={},
        slot=None,
    )


def content_of(job: Job) -> str:
    """Return a hash of a job's settings that is the same in every process."""
    text = json.dumps(describe_settings(job).to_json(), sort_keys=True, default=repr)
    return hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", text).encode()).hexdigest()[:12]


def add_provenance(described: Description, profile: Profile) -> Description:
    """Add time, machine, versions and resources to a description."""
    return replace(
        described,
        resources=profile.resources,
        started=time.time(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        versions=_versions(),
    )


def find_commit(function: Callable[..., Any]) -> str | None:
    """Return the commit of the repository of a function's file, None if it is in no repository.

    A ``+`` after it means that tracked files have been changed since.
    """
    try:
        folder = Path(inspect.getsourcefile(function) or "").absolute().parent
        commit = _ask_git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, TypeError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if changed else commit


def _ask_git(folder: Path, *words: str) -> str:
    asked = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
    )
    return asked.stdout.strip()


def _versions() -> dict[str, str]:
    packages = ("tune-jobs", "ray", "tensorflow", "keras", "hyperopt", "scikit-learn", "numpy")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
