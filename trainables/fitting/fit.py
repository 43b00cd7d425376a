"""The bridge from Keras to Tune: every epoch is reported, and fits resume exactly.

Where the data are arrays in memory, whole epochs run inside one compiled program; where a model,
a callback or an input pipeline needs ``model.fit``, that is what runs. Both give the same losses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainables.fitting.session import Config, Session
from trainables.fitting.task import Data, make_task

if TYPE_CHECKING:
    import keras


def fit(
    build: Callable[[Config], keras.Model],
    config: Config,
    data: Data,
    *,
    class_weight: Mapping[int, float] | None = None,
    callbacks: Sequence[Any] = (),
    strategy: Any = None,
) -> keras.Model:
    """Fit one configuration and return the model with the weights of its best epoch.

    Inside a Tune session it goes on from the session's checkpoint, if there is one, as if it had
    never stopped; outside a session it reports nothing and writes nothing. Of several replicas it
    returns the first one's model.

    Args:
        build: returns a compiled model.
        config: ``max_epochs``, ``batch_size``, ``seed``, ``metric``, ``mode`` and ``patience`` are
            read here, the rest by ``build``. With ``epochs``, exactly so many of ``max_epochs``
            are trained, whatever the patience, and the last one's weights are kept.
        data: arrays; or a Keras or TensorFlow dataset as ``x_train``, with its targets, and
            anything that ``model.fit`` takes as ``validation_data`` as ``x_validation``.
        class_weight: the weight of each class in the training loss, as in ``model.fit``.
        callbacks: Keras callbacks; with any of them ``model.fit`` runs.
        strategy: of ``tf.distribute``, to train one model on several devices with ``model.fit``.
            Left out, a trial that reserved two GPUs or more mirrors the model on them. Then
            ``batch_size`` is that of all devices together, and must be a multiple of their number.
    """
    from trainables.fitting.compiled.eligibility import why_not
    from trainables.fitting.compiled.fit import fit_compiled
    from trainables.fitting.compiled.program import UncompilableError
    from trainables.fitting.devices import make_strategy
    from trainables.fitting.distributed import fit_distributed
    from trainables.fitting.plain import fit_plainly

    session = Session(config)
    task = make_task(build, config, data, class_weight)
    _reset_keras(session)
    strategy = strategy or make_strategy()
    reason = why_not(task, callbacks, strategy)
    if reason is None:
        try:
            return fit_compiled(task, session)
        except UncompilableError as found:
            reason = str(found)
    session.path = f"model.fit: {reason}"
    if strategy is not None:
        return fit_distributed(task, session, callbacks, strategy)
    return fit_plainly(task, session, callbacks)


def _reset_keras(session: Session) -> None:
    """Leave nothing of an earlier trial behind but compiled programs.

    ``keras.utils.clear_session`` would empty TensorFlow's cache of kernels too, so that every
    program would be made ready again, and search the whole heap for garbage.
    """
    with session.clock("starting"):  # a first trial may have to wait for the import
        import keras
        from keras.src.backend.common import global_state

        from trainables.fitting.devices import prepare_gpus

        prepare_gpus()
    with session.clock("building"):
        global_state.GLOBAL_STATE_TRACKER = threading.local()
        global_state.GLOBAL_SETTINGS_TRACKER = threading.local()
        if keras.backend.backend() == "tensorflow":
            _make_cpu_deterministic()


def _make_cpu_deterministic() -> None:
    import tensorflow as tf

    # On a GPU some operations have no deterministic form and would raise; there it is the user's.
    if not tf.config.get_visible_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
