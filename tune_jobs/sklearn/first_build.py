"""One model of a search, built before anything starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from tune_jobs.engine.errors import JobError


def check_build(build: Callable[[Any], Any], config: Mapping[str, Any]) -> None:
    """Refuse a ``build`` that returns no compiled model for a config.

    Where Keras is not imported yet, nothing is built: that takes seconds, and the first fit shows
    it. An exception may be of this config alone, which then gets the error score.

    Raises:
        JobError: naming what it returned, or why its outputs do not go with the target.
    """
    if "keras" not in sys.modules:
        return
    from trainables.fitting.ends import ModelError
    from trainables.fitting.outputs import check_model

    try:
        model = build(dict(config))
    except Exception:  # noqa: BLE001  # whatever a config makes of the model
        return
    try:
        check_model(model, config)
    except ModelError as error:
        raise JobError(str(error)) from None
