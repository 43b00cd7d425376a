"""The bridge from Keras to Tune: every epoch is reported, and fits resume exactly.

If the data are arrays in memory, whole epochs run inside one compiled program; if a model, a
callback or an input pipeline needs ``model.fit``, that is what runs. Both give the same losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trainables.fitting.callbacks import Callbacks, list_callbacks
from trainables.fitting.compiled import eligibility
from trainables.fitting.compiled.keras_internals import check_internals, forget_names
from trainables.fitting.devices import make_strategy, prepare_gpus
from trainables.fitting.distributed import fit_distributed
from trainables.fitting.in_step.ahead import IN_STEP, Planned, fit_compiled
from trainables.fitting.models import build_for, prepare_model
from trainables.fitting.plain import fit_plainly
from trainables.fitting.session import Config, Session
from trainables.fitting.task import Data, make_task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def fit(
    build: Callable[[Config], keras.Model],
    config: Config,
    data: Data,
    *,
    class_weight: Mapping[int, float] | None = None,
    callbacks: Callbacks = (),
    strategy: tf.distribute.Strategy | None = None,
) -> keras.Model:
    """Fit one configuration and return the model with the weights of its best epoch.

    Inside a Tune session it resumes from the session's checkpoint, if there is one, as if it had
    never stopped; outside a session it reports nothing and writes nothing. With several replicas it
    returns the first one's model.

    Args:
        build: returns a compiled model.
        config: ``max_epochs``, ``batch_size``, ``seed``, ``metric``, ``mode``, ``patience`` and
            ``class_weight`` (``none`` or ``balanced``) are read here, the rest by ``build``;
            ``in_step`` has the configs that this worker is given next (:mod:`~.ahead`). With
            ``epochs``, exactly that many of ``max_epochs`` are trained, whatever the patience, and
            the last one's weights are kept.
        data: arrays; or a Keras or TensorFlow dataset as ``x_train``, with its targets, and
            anything that ``model.fit`` takes as ``validation_data`` as ``x_validation``. A
            ``tf.data.Dataset`` of single rows is trained in batches of ``batch_size``.
        class_weight: the weight of each class in the training loss, as in ``model.fit``.
        callbacks: Keras callbacks; with any but ``EarlyStopping`` ``model.fit`` runs. Or a
            function of none that returns a new list of them: it is called once per replica, while
            of a list the other replicas get copies. In a trial their relative files lie in the
            trial's folder, those of several replicas in its folders ``replica-1``, ``replica-2``...
        strategy: of ``tf.distribute``, to train one model on several devices with ``model.fit``.
            Without it, a trial that reserved two GPUs or more mirrors the model on them. Then
            ``batch_size`` is that of all devices together, and must be a multiple of their number.

    Raises:
        ValueError: if config and data do not fit together.
        ModelError: if ``build`` returns no model, or one whose outputs do not go with the task.
        UnsupportedVersionError: if the installed Keras or TensorFlow lacks what a fit needs.
    """
    session = Session(config)
    plan = partial(_plan, build, data, class_weight)
    planned = plan({key: value for key, value in config.items() if key != IN_STEP})
    task, build_model = planned.task, planned.build
    _start(session)
    strategy = strategy or make_strategy()
    lists = list_callbacks(callbacks, len(task.replicas))
    reason = eligibility.why_not(task, lists[0], strategy)
    if reason is None:
        try:
            return fit_compiled(
                planned, session, lists, plan=plan, followers=config.get(IN_STEP, ())
            )
        except eligibility.ModelFitWantedError as found:
            reason = str(found)
        except eligibility.UncompilableError as found:
            reason = session.fallback = str(found)
    session.path = f"model.fit: {reason}"
    if strategy is not None:
        return fit_distributed(build_model, task, session, lists, strategy)
    return fit_plainly(build_model, task, session, lists)


def _plan(
    build: Callable[[Config], keras.Model],
    data: Data,
    class_weight: Mapping[int, float] | None,
    config: Config,
) -> Planned:
    task = make_task(config, data, class_weight)
    return Planned(build, partial(_build, build, config, data), task)


def _build(build: Callable[[Config], keras.Model], config: Config, data: Data) -> keras.Model:
    model = build(config)
    if isinstance(data.x_train, np.ndarray):
        build_for(model, data.x_train.shape[1:])
    prepare_model(model, config)
    return model


def _start(session: Session) -> None:
    """Prepare the process, and forget everything of earlier trials but compiled programs."""
    with session.clock("starting"):  # a first trial may have to wait for the import
        import keras

        prepare_gpus()
        check_internals("fit")
    with session.clock("building"):
        forget_names()
        if keras.backend.backend() == "tensorflow":
            _make_cpu_deterministic()


def _make_cpu_deterministic() -> None:
    import tensorflow as tf

    # On a GPU some operations have no deterministic form and would raise; there it is the user's.
    if not tf.config.get_visible_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
