"""The searchers that are compared, each asked and answered in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

from benchmarks.searching.problem import Config, Task


class Contender(Protocol):
    """A searcher that serves one search, in which losses are minimised.

    Attributes:
        prunes: whether it decides itself which trials stop.
    """

    prunes: bool

    def suggest(self, key: str) -> Config | None:
        """Return the config of the next trial; None if the space is exhausted."""

    def start(self, key: str, config: Config) -> None:
        """Learn which config is trained, which in a table is only near the suggested one."""

    def report(self, key: str, epoch: int, loss: float) -> bool:
        """Learn a loss, and return whether the trial has to stop, if it prunes."""

    def end(self, key: str, failed: bool, stopped: bool) -> None:
        """Learn that the trial has ended."""


class Ours:
    """A searcher of tune-jobs, as the source of trials asks it."""

    prunes = False

    def __init__(self, recipe: str, task: Task, seed: int) -> None:
        from tune_jobs.engine.search.searchers import make_recipe

        self._searcher: Any = make_recipe(recipe)(seed)
        self._searcher.max_epochs = task.max_epochs
        self._searcher.set_search_properties("loss", "min", task.space)
        self._is_short = task.max_epochs == 1
        self._suggested: dict[str, Config] = {}
        self._names: dict[str, str] = {}
        self._configs: dict[str, Config] = {}
        self._curves: dict[str, list[tuple[int, float]]] = {}

    def suggest(self, key: str) -> Config | None:
        """Ask the searcher."""
        found = self._searcher.suggest(key)
        if not isinstance(found, dict):
            return None
        self._suggested[key] = found
        return found

    def start(self, key: str, config: Config) -> None:
        """Let the searcher learn that the config is pending."""
        # What is not the searcher's own suggestion is learned as a config from elsewhere.
        self._names[key] = key if config is self._suggested.pop(key) else f"instead of {key}"
        self._configs[key], self._curves[key] = config, []
        self._learn(key, "running")

    def report(self, key: str, epoch: int, loss: float) -> bool:
        """Let the searcher learn the curve so far, where there is one."""
        self._curves[key].append((epoch, loss))
        if not self._is_short:
            self._learn(key, "running")
        return False

    def end(self, key: str, failed: bool, stopped: bool) -> None:  # noqa: ARG002
        """Let the searcher learn that the trial has ended; its curve says where it was stopped."""
        self._learn(key, "failed" if failed else "ended")

    def _learn(self, key: str, state: str) -> None:
        from tune_jobs.engine.search.observations import Observation

        known = Observation(self._configs[key], tuple(self._curves[key]), state)  # type: ignore[arg-type]
        self._searcher.learn(self._names[key], known)


class Optuna:
    """A sampler of Optuna, defining the space by running it."""

    def __init__(self, sampler: str, task: Task, seed: int, pruner: str | None = None) -> None:
        import optuna

        from tune_jobs.engine.space.encoding import dimensions

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self.prunes = optuna, pruner is not None
        self._space, self._dimensions = task.space, dimensions(task.space)
        self._study = optuna.create_study(
            sampler=_make_sampler(optuna, sampler, seed), pruner=_make_pruner(optuna, pruner, task)
        )
        self._asked: dict[str, tuple[Any, Config]] = {}
        self._losses: dict[str, float] = {}

    def suggest(self, key: str) -> Config:
        """Ask the study for a trial."""
        self._asked[key] = self._ask()
        return self._asked[key][1]

    def start(self, key: str, config: Config) -> None:
        """Replace the trial by one with another config, if another one is trained."""
        from tune_jobs.engine.space.encoding import encode

        asked, suggested = self._asked[key]
        if config is suggested:
            return
        self._study.tell(asked, state=self._optuna.trial.TrialState.FAIL)
        self._study.enqueue_trial(
            _parameters(encode(self._space, config), _flatten(self._dimensions))
        )
        self._asked[key] = self._ask()

    def report(self, key: str, epoch: int, loss: float) -> bool:
        """Report the loss, and ask the pruner."""
        trial, _ = self._asked[key]
        trial.report(loss, epoch)
        self._losses[key] = min(loss, self._losses.get(key, loss))
        return bool(self.prunes and trial.should_prune())

    def end(self, key: str, failed: bool, stopped: bool) -> None:
        """Tell the study how the trial ended: with the best loss of its epochs."""
        states = self._optuna.trial.TrialState
        trial, _ = self._asked.pop(key)
        if failed:
            self._study.tell(trial, state=states.FAIL)
        elif stopped:
            self._study.tell(trial, state=states.PRUNED)
        else:
            self._study.tell(trial, self._losses[key])

    def _ask(self) -> tuple[Any, Config]:
        from tune_jobs.engine.space.encoding import decode

        trial = self._study.ask()
        flat: dict[str, float] = {}
        _walk(trial, self._dimensions, flat)
        return trial, decode(self._space, flat)


def _make_sampler(optuna: Any, name: str, seed: int) -> Any:
    import warnings

    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)
    if name == "grouped":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    return optuna.samplers.TPESampler(seed=seed)


def _make_pruner(optuna: Any, name: str | None, task: Task) -> Any:
    if name is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.HyperbandPruner(
        min_resource=1, max_resource=task.max_epochs, reduction_factor=3
    )


def _walk(trial: Any, found: Mapping[str, Any], flat: dict[str, float]) -> None:
    """Suggest the active hyperparameters: numbers as numbers, ordered choices as integers."""
    for label, dimension in found.items():
        drawn = _suggest(trial, label, dimension)
        flat[label] = drawn
        if dimension.branches:
            _walk(trial, dimension.branches[int(drawn)], flat)


def _suggest(trial: Any, label: str, dimension: Any) -> float:
    simple = dimension.simple
    if hasattr(simple, "options"):
        last = len(simple.options) - 1
        if dimension.is_ordered:
            return int(trial.suggest_int(label, 0, last))
        return int(trial.suggest_categorical(label, list(range(last + 1))))
    is_log = simple.spacing == "log"
    if dimension.numbers is None:
        return float(trial.suggest_float(label, simple.lower, simple.upper, log=is_log))
    first = _first(dimension)
    place = trial.suggest_int(label, first, first + len(dimension.numbers) - 1, log=is_log)
    return float(dimension.numbers[place - first])


def _first(dimension: Any) -> int:
    """Return what the first of a few numbers is to Optuna, which must be positive for a log."""
    return max(1, int(dimension.numbers[0]))


def _parameters(numbers: Mapping[str, float], listed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the suggestions that stand for the numbers of a config's flat form."""
    flat: dict[str, Any] = {}
    for label, number in numbers.items():
        dimension = listed[label]
        if hasattr(dimension.simple, "options"):
            flat[label] = int(number)
        elif dimension.numbers is None:
            flat[label] = min(max(number, dimension.simple.lower), dimension.simple.upper)
        else:
            nearest = min(
                range(len(dimension.numbers)), key=lambda at: abs(dimension.numbers[at] - number)
            )
            flat[label] = _first(dimension) + nearest
    return flat


def _flatten(found: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for label, dimension in found.items():
        flat[label] = dimension
        for branch in dimension.branches:
            flat |= _flatten(branch)
    return flat


def _ours(recipe: str) -> Callable[[Task, int], Contender]:
    return lambda task, seed: Ours(recipe, task, seed)


def _optuna(sampler: str, pruner: str | None = None) -> Callable[[Task, int], Contender]:
    return lambda task, seed: Optuna(sampler, task, seed, pruner)


# A rival that needs a package which is not there is left out.
NEEDS = {"optuna-gp": "torch"}

# Only early stopping makes these differ from others.
CURVES_ONLY = ("optuna-hyperband", "one-epoch")

# Not a searcher: see ``search_for_one_epoch`` of the simulation.
ONE_EPOCH = "one-epoch"

CONTENDERS: dict[str, Callable[[Task, int], Contender]] = {
    "random": _ours("random"),
    "tpe": _ours("tpe"),
    "gp": _ours("gp"),
    "auto": _ours("auto"),
    "hyperopt": _ours("hyperopt"),
    "optuna": _optuna("default"),
    "optuna-grouped": _optuna("grouped"),
    "optuna-gp": _optuna("gp"),
    "optuna-hyperband": _optuna("default", "hyperband"),
}


def list_contenders() -> list[str]:
    """Return the names of the searchers whose packages are installed."""
    names = [*CONTENDERS, ONE_EPOCH]
    return [name for name in names if name not in NEEDS or find_spec(NEEDS[name])]
