"""Calls of ``build`` with values of our choice, and what each of them asked for."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.engine.errors import JobError
from tune_jobs.keras_tuner.declarations import Declaration
from tune_jobs.keras_tuner.hyperparameters import HyperParameters, Values
from tune_jobs.keras_tuner.probing.fingerprint import fingerprint

Build = Callable[[HyperParameters], Any]


@dataclass(frozen=True)
class Probe:
    """One call of ``build``.

    Attributes:
        values: of the hyperparameters that it asked for, in this order.
        error: what it raised; it may have asked for more otherwise.
        model: what tells its model from others; None if that is not known.
    """

    values: Values
    error: Exception | None
    model: str | None = None

    @property
    def asked(self) -> list[str]:
        """The names that it asked for, in this order."""
        return list(self.values)


@dataclass
class Prober:
    """Calls ``build`` until a budget is spent, and gathers what it declares.

    Attributes:
        build: the function, which returns a model.
        hp: what is known of the space.
        given: names that ``build`` cannot declare anew, since the user did.
        tune_new: whether what ``build`` declares besides joins the space.
        allow_new: whether it may declare anything besides.
        calls: how many calls are left.
        until: when the time is over, on the clock of ``time.monotonic``.
        probes: the calls so far.
    """

    build: Build
    hp: HyperParameters
    given: frozenset[str]
    tune_new: bool
    allow_new: bool
    calls: int
    until: float
    probes: list[Probe] = field(default_factory=list)

    @property
    def is_spent(self) -> bool:
        """True if ``build`` cannot be called again; once it always is."""
        return bool(self.probes) and (self.calls <= 0 or time.monotonic() > self.until)

    def ask(self, values: Mapping[str, Any]) -> Probe | None:
        """Return what ``build`` asks for with values, defaults for others; None without budget.

        Raises:
            JobError: if it declares a hyperparameter and must not.
        """
        if known := self.find(values):
            return known
        if self.is_spent:
            return None
        self.calls -= 1
        hp = self.hp.with_values(values)
        model, error = _call(self.build, hp, is_first=not self.probes)
        self._learn(hp)
        names = {each.name for each in self.hp.space}
        probe = Probe({name: hp.values[name] for name in hp.asked if name in names}, error, model)
        self.probes.append(probe)
        return probe

    def find(self, values: Mapping[str, Any]) -> Probe | None:
        """Return the call in which ``build`` got these values already, if there is one."""
        defaults = {each.name: each.default for each in reversed(self.hp.space)}
        wanted = defaults | dict(values)
        for probe in self.probes:
            if all(wanted[name] == value for name, value in probe.values.items()):
                return probe
        return None

    def _learn(self, hp: HyperParameters) -> None:
        known = self.hp.space
        new = [each for each in hp.space if each not in known and each.name not in self.given]
        if new and not self.allow_new:
            raise JobError(
                f"build declares {new[0].name!r}, which hyperparameters does not have; "
                "declare it there, or leave out allow_new_entries=False"
            )
        if self.tune_new:
            self.hp = self.hp.copy()
            self.hp.merge(new, overwrite=False)


def declarations_of(hp: HyperParameters) -> Mapping[str, Declaration]:
    """Return the first declaration of each name."""
    return {each.name: each for each in reversed(hp.space)}


def _call(
    build: Build, hp: HyperParameters, *, is_first: bool
) -> tuple[str | None, Exception | None]:
    """Call ``build`` and forget its model; what it prints is shown once.

    Returns:
        What tells the model from others, and what ``build`` raised.
    """
    _forget_models()  # so that layers have the same names each time
    with contextlib.nullcontext() if is_first else contextlib.redirect_stdout(io.StringIO()):
        try:
            return fingerprint(build(hp)), None
        except JobError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a configuration makes of the model
            return None, error


def _forget_models() -> None:
    if keras := sys.modules.get("keras"):
        keras.utils.clear_session(free_memory=False)  # collecting garbage takes longer than a build


def later(probe: Probe, name: str) -> Iterator[str]:
    """Yield the names that a call asked for after one of them."""
    yield from probe.asked[probe.asked.index(name) + 1 :]
