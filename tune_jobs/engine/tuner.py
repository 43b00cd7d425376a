"""Job, profile and data as a plain ``ray.tune.Tuner``."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import BasicVariantGenerator

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiment import DESCRIPTION
from tune_jobs.engine.names import check_experiment_name
from tune_jobs.engine.profile import Profile, connect
from tune_jobs.engine.recorder import Ending, Listener, Recorder
from tune_jobs.engine.searchers import SpaceSearcher, translated
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space import describe, distinct
from tune_jobs.engine.storage import Folder, open_folder

if TYPE_CHECKING:
    from tune_jobs.engine.dataset import Dataset
    from tune_jobs.engine.job import Job

TRIALS = "trials"
MakeTuner = Callable[[Profile, str], tune.Tuner]


@dataclass(frozen=True)
class Prepared:
    """A tuner that is ready to fit, and what was made for it."""

    tuner: tune.Tuner
    folder: Folder
    ending: Ending
    concurrency: int


def prepare(
    job: Job,
    profile: Profile,
    folder: Folder,
    dataset: Dataset | None,
    listeners: Sequence[Listener] = (),
    max_hours: float | None = None,
) -> Prepared:
    """Describe the run in the experiment's folder, and build the tuner.

    Raises:
        JobError: where not one trial fits.
    """
    if not ray.is_initialized():
        connect(profile, [])
    concurrency = profile.concurrency(ray.cluster_resources())
    folder.write_json(DESCRIPTION, description(job, profile, dataset))
    ending = Ending(job.metric, max_hours)
    recorder = Recorder(folder, job.max_epochs, listeners, ending)
    tuner = tune.Tuner(
        tune.with_resources(_trainable(job, dataset), profile.resources),
        param_space=distinct(job.space),
        tune_config=tune.TuneConfig(
            metric=job.metric,
            mode=job.mode,
            search_alg=_searcher(job, concurrency),
            scheduler=job.scheduler(job.max_epochs) if job.scheduler else None,
            num_samples=job.num_samples,
            max_concurrent_trials=concurrency,
            reuse_actors=True,
            trial_dirname_creator=_trial_folder,
        ),
        run_config=_run_config(job, profile, folder, recorder, ending),
    )
    return Prepared(tuner, folder, ending, concurrency)


def adopt(
    make_tuner: MakeTuner,
    profile: Profile,
    folder: Folder,
    listeners: Sequence[Listener] = (),
    max_hours: float | None = None,
) -> Prepared:
    """Let a tuner that somebody else built write a history like any job's.

    Raises:
        JobError: for a tuner without metric and mode.
    """
    tuner = make_tuner(profile, folder.name)
    internal = tuner._local_tuner  # Ray has no public way to a tuner's own configuration.
    wanted, run_config = internal._tune_config, internal.get_run_config()
    if wanted.metric is None or wanted.mode is None:
        raise JobError(f"{make_tuner.__module__}.tuner() sets no metric and mode in its TuneConfig")
    folder.write_json(
        DESCRIPTION,
        {
            "trainable": f"{make_tuner.__module__}.tuner",
            "metric": wanted.metric,
            "mode": wanted.mode,
            "space": describe(internal.param_space),
            "constants": {},
            "preprocessing": None,
            **_provenance(profile),
        },
    )
    ending = Ending(wanted.metric, max_hours)
    recorder = Recorder(folder, sys.maxsize, listeners, ending)
    run_config.callbacks = [*(run_config.callbacks or []), recorder]
    run_config.stop = ending if run_config.stop is None else run_config.stop
    concurrency = profile.concurrency(ray.cluster_resources()) if ray.is_initialized() else 1
    return Prepared(tuner, folder, ending, concurrency)


def load_data(job: Job) -> Dataset | None:
    """Read and split the job's data, with a seed of its own, into folds where it has them."""
    dataset = job.data(derive(job.seed, "split")) if job.data else None
    if dataset is None or job.evaluation is None:
        return dataset
    return job.evaluation.apply(dataset, job.seed)


def default_name(module: str) -> str:
    """A name for an experiment that was given none: what is run, and when."""
    return f"{module.split('.')[-1].strip('_') or 'search'}-{time.strftime('%Y%m%d-%H%M%S')}"


def locate(profile: Profile, name: str) -> Folder:
    """Where a new experiment of that name will lie.

    Raises:
        JobError: for a name that is no plain name or is taken.
    """
    check_experiment_name(name)
    folder = open_folder(profile.storage).child(name)
    if folder.names():
        raise JobError(f"experiment {name!r} exists already at {folder.uri}; choose another --name")
    return folder


def constants(job: Job, dataset: Dataset | None) -> dict[str, Any]:
    """What every config of the job holds beside its hyperparameters."""
    return {
        **(dataset.signature if dataset else {}),
        "max_epochs": job.max_epochs,
        "seed": derive(job.seed, "model"),
        "metric": job.metric,
        "mode": job.mode,
        "rungs": job.rungs,
    }


def description(job: Job, profile: Profile, dataset: Dataset | None) -> dict[str, Any]:
    """What a reader must know of a run, as JSON: job, data, versions, machine."""
    return {
        "trainable": f"{job.trainable.__module__}.{job.trainable.__qualname__}",
        "metric": job.metric,
        "mode": job.mode,
        "num_trials": job.num_trials,
        "max_epochs": job.max_epochs,
        "seed": job.seed,
        "space": describe(job.space),
        "searcher": repr(job.searcher),
        "scheduler": repr(job.scheduler),
        "data": repr(job.data),
        "evaluation": repr(job.evaluation),
        "constants": constants(job, dataset),
        "fingerprint": dataset.fingerprint if dataset else None,
        "preprocessing": dataset.preprocessing if dataset else None,
        **_provenance(profile),
    }


def _provenance(profile: Profile) -> dict[str, Any]:
    return {
        "resources": profile.resources,
        "started": time.time(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    packages = ("tune-jobs", "ray", "tensorflow", "keras", "hyperopt", "scikit-learn", "numpy")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _trainable(job: Job, dataset: Dataset | None) -> Any:
    """What Ray calls in a worker; the arrays go once to each node's object store."""
    return tune.with_parameters(
        _fit_trial,
        train=job.trainable,
        fixed=constants(job, dataset),
        data=dataset.training if dataset else None,
    )


def _fit_trial(config: dict[str, Any], *, train: Any, fixed: dict[str, Any], data: Any) -> None:
    train({**config, **fixed}, data)


def _trial_folder(trial: Trial) -> str:
    return str(trial.trial_id)


def _searcher(job: Job, concurrency: int) -> Any:
    searcher = job.searcher(derive(job.seed, "searcher"))
    if isinstance(searcher, BasicVariantGenerator):
        searcher.max_concurrent = concurrency  # Tune limits every other searcher, not this one
        return searcher
    if isinstance(searcher, SpaceSearcher):
        return searcher
    return translated(searcher)


def _run_config(
    job: Job, profile: Profile, folder: Folder, recorder: Recorder, ending: Ending
) -> tune.RunConfig:
    return tune.RunConfig(
        name=TRIALS,
        storage_path=folder.uri,
        callbacks=[recorder],
        stop=ending,
        failure_config=tune.FailureConfig(max_failures=profile.max_failures),
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=1,  # the best, and the latest
            checkpoint_score_attribute=job.metric,
            checkpoint_score_order=job.mode,
        ),
        verbose=0,
    )
