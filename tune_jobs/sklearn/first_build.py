"""One model of a search, built before any trial starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ray.exceptions import RayError

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.trials.shipping import Shipped, ship
from tune_jobs.engine.trials.warm_workers import call_in_worker

Build = Callable[[Any], Any]


def check_build(build: Build, config: Mapping[str, Any]) -> bool:
    """Refuse a ``build`` that returns no compiled model, before Ray starts.

    Returns:
        Whether that was checked: importing Keras for it would take seconds.

    Raises:
        JobError: naming what it returned, or why its outputs do not go with the target.
    """
    if "keras" not in sys.modules:
        return False
    _refuse(find_mistake(build, config))
    return True


def check_build_in_worker(build: Build, config: Mapping[str, Any], profile: Profile) -> None:
    """Refuse it in a worker, which imports Keras in any case before it trains.

    Raises:
        JobError: naming what it returned, or why its outputs do not go with the target.
    """
    shipped = ship(build, of=build)
    try:
        mistake = call_in_worker(_find_mistake, shipped, dict(config), profile=profile)
    except RayError:  # of a module that workers lack, or of a worker that died: trials say it
        return
    _refuse(mistake)


def find_mistake(build: Build, config: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the model of a config; None if nothing is.

    An exception may be of this config alone, which then gets the error score.
    """
    from trainables.fitting.ends import ModelError
    from trainables.fitting.outputs import check_model

    try:
        model = build(dict(config))
    except Exception:  # noqa: BLE001  # whatever a config makes of the model
        return None
    try:
        check_model(model, config)
    except ModelError as error:
        return str(error)
    return None


def _find_mistake(shipped: Shipped, config: Mapping[str, Any]) -> str | None:
    return find_mistake(shipped.unpack(), config)


def _refuse(mistake: str | None) -> None:
    if mistake is not None:
        raise JobError(mistake)
