"""Search with raw Ray Tune: a function trainable that reports every epoch."""

from __future__ import annotations

from typing import Any

import ray
from ray import tune

from benchmarks import family
from benchmarks.contenders.journal import Journal
from benchmarks.task import Data, Task


def search(task: Task) -> dict[str, Any]:
    """Train all listed configs with Ray's defaults: a fresh process for every trial."""
    return _run(task, _listed(task), tune.TuneConfig())


def search_reusing(task: Task) -> dict[str, Any]:
    """Train all listed configs in reused processes."""
    return _run(task, _listed(task), tune.TuneConfig(reuse_actors=True))


def search_pruned(task: Task) -> dict[str, Any]:
    """Run HyperOpt and ASHA in reused processes."""
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.hyperopt import HyperOptSearch

    how = tune.TuneConfig(
        metric="val_loss",
        mode="min",
        search_alg=HyperOptSearch(random_state_seed=task.seed),
        scheduler=ASHAScheduler(max_t=task.epochs, grace_period=1, reduction_factor=3),
        num_samples=task.trials,
        max_concurrent_trials=int(ray.available_resources()["CPU"]) if _start() else None,
        reuse_actors=True,
    )
    callbacks = [JournalCallback(Journal(task.log))]
    return _run(task, family.flat_space(task.family), how, callbacks)


def train(config: dict[str, Any], data: Data, task: Task) -> None:
    """Train one config."""
    import keras

    chosen = task.configs[config["index"]] if "index" in config else None
    chosen = chosen or family.from_flat(task.family, config)
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: tune.report({"val_loss": logs["val_loss"]})
    )
    model = family.build_anew({**chosen, **task.fixed})
    model.fit(data.x_train, data.y_train, **task.fit_options(data, [report]))


class JournalCallback(tune.Callback):
    """Notes every epoch when the driver receives it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def on_trial_result(self, *, result: dict[str, Any], **_: Any) -> None:
        """Note an epoch."""
        self._journal.note(result["val_loss"])


def _listed(task: Task) -> dict[str, Any]:
    return {"index": tune.grid_search(list(range(task.trials)))}


def _start() -> bool:
    if not ray.is_initialized():
        ray.init(address="local", include_dashboard=False)
    return True


def _run(
    task: Task, space: dict[str, Any], how: tune.TuneConfig, callbacks: Any = None
) -> dict[str, Any]:
    _start()
    tuner = tune.Tuner(
        tune.with_parameters(train, data=task.data(), task=task),
        param_space=space,
        tune_config=how,
        run_config=tune.RunConfig(storage_path=task.folder, verbose=0, callbacks=callbacks),
    )
    results = [result.metrics for result in tuner.fit() if result.error is None]
    ray.shutdown()
    return {
        "losses": [metrics["val_loss"] for metrics in results],
        "epochs": sum(metrics["training_iteration"] for metrics in results),
    }
