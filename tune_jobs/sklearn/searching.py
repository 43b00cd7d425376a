"""Run the search of a :class:`~tune_jobs.sklearn.SearchCV`: as a job, by the engine."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.exceptions import RayTaskError

from tune_jobs.engine.cluster.connection import ray_of
from tune_jobs.engine.data.dataset import Dataset, Replica, TrainingData, digest
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.outcome import FINAL
from tune_jobs.engine.runs.run import run
from tune_jobs.engine.runs.start_ray import import_roots
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.grid import pick
from tune_jobs.engine.trials.shipping import Shipped, ship
from tune_jobs.engine.trials.warm_workers import call_in_worker
from tune_jobs.sklearn.features import Encoded
from tune_jobs.sklearn.first_build import check_build, check_build_in_worker
from tune_jobs.sklearn.fitted import FittedModel
from tune_jobs.sklearn.fitting import Build, make_trainable, preload, refit
from tune_jobs.sklearn.scoring import FoldScorer
from tune_jobs.sklearn.targets import Target

# With validation rows whole epochs are compiled; the score of these is unused.
FEW_ROWS = 256

# A process has one connection to Ray, and one search of it runs at a time.
ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Search:
    """A search, with everything that it is made of.

    Attributes:
        build: builds a compiled model of a config.
        job: the search as a job, without its data.
        callbacks: of Keras.
        rows: the data.
        profile: where it runs.
        name: what the experiment's name begins with.
        is_quiet: whether nothing is printed.
    """

    build: Build
    job: Callable[..., Job]
    callbacks: Sequence[Any]
    rows: Rows
    profile: Profile
    name: str
    is_quiet: bool

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Start or join the Ray of the profile, once no other thread uses it."""
        named = f"{preload.__module__}.{preload.__name__}"
        with ONE_AT_A_TIME, ray_of(self.profile, self._import_paths, named, is_kept=True):
            yield

    def check(self) -> bool:
        """Refuse a space and a build with which no trial could be trained.

        Returns:
            Whether the build was checked, too; else :meth:`check_in_worker` does.

        Raises:
            JobError: naming what is wrong with them.
        """
        return check_build(self.build, self._first_config)

    def check_in_worker(self) -> None:
        """Refuse a build with which no trial could be trained, once Ray runs.

        Raises:
            JobError: naming what is wrong with it.
        """
        check_build_in_worker(self.build, self._first_config, self.profile)

    def run(self) -> Experiment:
        """Search; the experiment lies in the profile's storage.

        Raises:
            KeyboardInterrupt: if a signal has ended it.
            JobError: if it ended for another reason than that all configs were tried, or if no
                config has a score.
        """
        name = f"{self.name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        found = run(
            self._job,
            profile=self.profile,
            name=name,
            import_paths=self._import_paths,
            listeners=[] if self.is_quiet else None,
        )
        _check_end(found)
        return found

    def refit(self, config: Config, experiment: Experiment, epochs: int) -> FittedModel:
        """Train a config on all rows, in a worker."""
        own = {
            "epochs": epochs,
            "metric": "loss",
            "mode": "min",
            "seed": derive(self.rows.seed, "refit"),
        }
        config = {
            **config,
            **experiment.description.constants,
            **self.rows.signature(len(self.rows.target.encoded)),
            **own,
        }
        shipped = ship((self.build, self.callbacks), of=self.build)
        try:
            weights = call_in_worker(
                _refit, shipped, config, self.rows.whole(), profile=self.profile
            )
        except RayTaskError as error:
            raise JobError(
                f"the best config could not be trained on all rows: {error.cause!r}"
            ) from error
        return FittedModel(self.build, config, weights, self.rows.features.encoder)

    @property
    def _first_config(self) -> Config:
        signature = self.rows.signature(len(self.rows.features.folds[0][0]))
        return {**pick(self._job.space, "low"), **signature}

    @property
    def _job(self) -> Job:
        return self.job(trainable=make_trainable(self.build, self.callbacks), data=self.rows)

    @property
    def _import_paths(self) -> list[str]:
        return import_roots(self.build)


@dataclass(frozen=True)
class Rows:
    """The recipe of a search's data: all its rows, each fold a replica, and no test set.

    Attributes:
        features: of all rows, and the folds.
        target: of all rows.
        scorers: computed on the validation rows of each fold.
        weights: how much each row counts in training, None if all count the same.
        seed: of the search.
    """

    features: Encoded
    target: Target
    scorers: Sequence[FoldScorer]
    weights: Array | None
    seed: int

    def __repr__(self) -> str:
        """Return what they are, and how many."""
        return f"SearchCV's {len(self.target.encoded):,} rows in {len(self.features.folds)} folds"

    def __call__(self, _: int) -> Dataset:
        """Return the dataset; its folds are given, so nothing is drawn."""
        x, y = self.features.x, self.target.encoded
        blocks = len(x) // len(y)
        y = np.concatenate([y] * blocks)
        training = TrainingData(
            x_train=x,
            y_train=y,
            x_validation=x,
            y_validation=y,
            replicas=tuple(
                Replica(derive(self.seed, f"fold {number}"), train, held)
                for number, (train, held) in enumerate(self.features.folds)
            ),
            scorers={each.name: each for each in self.scorers},  # type: ignore[misc]
            weights_train=None if self.weights is None else np.concatenate([self.weights] * blocks),
        )
        return Dataset(
            training,
            x_test=x[:0],
            y_test=y[:0],
            raw_test=x[:0],
            signature=self.signature(len(self.features.folds[0][0])),
            preprocessing={"target": {"task": self.target.meaning.task}},
            fingerprint=digest([x, y]),
        )

    def signature(self, rows: int) -> dict[str, Any]:
        """Return what every config holds about the data, for so many training rows."""
        return {**self.target.signature, **self.features.encoder.signature, "rows": rows}

    def whole(self) -> TrainingData:
        """Return all rows to train on; a few of them stand in for validation rows."""
        x, y = self.features.whole, self.target.encoded
        return TrainingData(x, y, x[:FEW_ROWS], y[:FEW_ROWS], weights_train=self.weights)


def _check_end(experiment: Experiment) -> None:
    """Refuse a search that has found nothing, or was broken off.

    Raises:
        KeyboardInterrupt: if a signal has ended it.
        JobError: naming the first error of a fit, or what else has ended it.
    """
    summary = experiment.summary
    outcome = summary.outcome if summary else "unexpected error"
    if outcome == "interrupted":
        raise KeyboardInterrupt(f"{experiment.name} was interrupted")
    if outcome in (*FINAL, "budget used") and len(experiment.usable):
        return
    errors = experiment.trials["error"].dropna()
    said = cause(str(errors.iloc[0])) if len(errors) else ""
    reason = said or (summary.error if summary else None) or f"it ended with {outcome!r}"
    raise JobError(
        f"all {len(experiment.trials)} configs of {experiment.folder.uri} failed: {reason}"
    )


def _refit(shipped: Shipped, config: Config, data: TrainingData) -> list[Any]:
    build, callbacks = shipped.unpack()
    return refit(build, callbacks, config, data)
