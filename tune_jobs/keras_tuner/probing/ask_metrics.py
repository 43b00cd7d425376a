"""The metrics that a program's models report, found without training."""

from __future__ import annotations

import contextlib
import io

from trainables.fitting.compiled.keras_internals import is_keras
from tune_jobs.engine.errors import JobError
from tune_jobs.keras_tuner.hyperparameters import HyperParameters
from tune_jobs.keras_tuner.objective import Objective
from tune_jobs.keras_tuner.worker.arguments import Fit, first_batch
from tune_jobs.keras_tuner.worker.program import Program

VALIDATION = "val_"
LOSSES = ("loss", "val_loss")  # every compiled model reports them


def check_reported(program: Program, hp: HyperParameters, objective: Objective, fit: Fit) -> None:
    """Refuse an objective that no trial can report.

    Callbacks of the program may report more than its models do; then nothing is refused.

    Raises:
        JobError: naming it, and what is reported.
    """
    if any(not is_keras(each) for each in fit.callbacks):
        return
    is_validated = fit.is_validated or program.cv is not None
    if objective.name.startswith(VALIDATION) and not is_validated:
        raise JobError(
            f"the objective is {objective.name!r}, but there are no validation data; give "
            "validation_data or validation_split to search"
        )
    own = [] if objective.name in LOSSES else _list_metrics(program, hp, fit)
    reported = [*own, *(VALIDATION + name for name in own if is_validated)]
    if own and objective.name not in reported:
        raise JobError(
            f"the objective is {objective.name!r}, but the model reports {', '.join(reported)}; "
            "add the metric in model.compile, or give another objective"
        )


def _list_metrics(program: Program, hp: HyperParameters, fit: Fit) -> list[str]:
    """Return what a model with the defaults reports of one row; none if that cannot be tried."""
    defaults = hp.with_values({})
    defaults.ensure_active_values()
    try:
        batch = first_batch(fit)
        if batch is None:
            return []
        with contextlib.redirect_stdout(io.StringIO()):
            model = program.build_model(hp.with_values(defaults.values))
            model.run_eagerly = True  # nothing is compiled for one row
            return list(model.test_on_batch(*batch, return_dict=True))
    except Exception:  # noqa: BLE001  # the first trial shows it
        return []
