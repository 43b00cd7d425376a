"""A search by one worker, as Tune would run it, without Ray."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ray.tune.search import Searcher

from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.space_searcher import SpaceSearcher
from tune_jobs.engine.space.configs import Config, flatten
from tune_jobs.engine.space.domains import Space

MAX_EPOCHS = 9
RUNGS = (1, 3)


@dataclass
class Record:
    """What a history keeps of one trial, or of one result of another search."""

    key: str
    observation: Observation
    asked: int


def make_search(make: Callable[[], SpaceSearcher], space: Space, repeats: bool = False):
    searcher = make()
    searcher.max_epochs, searcher.allow_repeats = MAX_EPOCHS, repeats
    assert searcher.set_search_properties("loss", "min", space)
    return searcher


@dataclass
class History:
    """A search with everything that a driver could be killed after.

    Attributes:
        records: of trials in the order of their start.
    """

    make: Callable[[], SpaceSearcher]
    space: Space
    curve_of: Callable[[Config, int], Sequence[float] | None]
    repeats: bool = False
    stops: bool = False
    records: list[Record] = field(default_factory=list)
    rungs: dict[int, list[float]] = field(default_factory=dict)

    def searcher(self) -> SpaceSearcher:
        """A new searcher that learns what is known."""
        searcher = make_search(self.make, self.space, self.repeats)
        for record in self.records:
            searcher.learn(record.key, record.observation)
        searcher.asked = max((record.asked for record in self.records), default=0)
        return searcher

    def run(self, trials: int, searcher: SpaceSearcher | None = None) -> list[Config]:
        """Suggest and train, by a new searcher before each trial unless one is given."""
        found = []
        for number in itertools.count(len(self.records)):
            if len(found) == trials:
                break
            now = searcher or self.searcher()
            key = f"{number:05}"
            config = now.suggest(key)
            if config in (None, Searcher.FINISHED):
                break
            found.append(config)
            self._train(now, key, config, number)
        return found

    def _train(self, searcher: SpaceSearcher, key: str, config: Config, number: int) -> None:
        searcher.learn(key, Observation(config))
        values = self.curve_of(config, number)
        observed = Observation(config, (), "withdrawn" if number % 7 == 5 else "failed")
        if values is not None:
            for observed in self._epochs(config, values):
                searcher.learn(key, observed)
        searcher.learn(key, observed)
        self.records.append(Record(key, observed, searcher.asked))

    def _epochs(self, config: Config, values: Sequence[float]):
        """Report each epoch, and end where ASHA would."""
        curve: tuple[tuple[int, float], ...] = ()
        for epoch, value in enumerate(values, 1):
            curve = (*curve, (epoch, value))
            yield Observation(config, curve, "running")
            if self.stops and epoch in RUNGS and self._is_behind(epoch, min(values[:epoch])):
                break
        yield Observation(config, curve, "ended")

    def _is_behind(self, epoch: int, value: float) -> bool:
        there = self.rungs.setdefault(epoch, [])
        there.append(value)
        return value > sorted(there)[(len(there) - 1) // 3]


def loss_of(config: Config) -> float:
    """A loss with an optimum, whatever the hyperparameters."""
    numbers = [
        value / 100 if value > 1 else value
        for value in flatten(config).values()
        if isinstance(value, int | float)
    ]
    return sum((number - 0.3) ** 2 for number in numbers) / max(len(numbers), 1)


def good(config: Config, number: int) -> list[float]:
    return [loss_of(config) + 0.3 / epoch for epoch in range(1, MAX_EPOCHS + 1)]


def troubled(config: Config, number: int) -> list[float] | None:
    """Some trials fail by their own fault, and some are lost with their machine."""
    return None if number % 7 == 5 or number % 5 == 3 else good(config, number)
