"""Prepare a worker process once, when it starts, instead of in each trial."""

from __future__ import annotations

import gc
import threading

from trainables.fitting.devices import has_no_gpu, hide_gpus


def preload() -> None:
    """Import Keras and TensorFlow in the background.

    If the module of a trainable has this function, every worker process calls it as soon as it
    starts, while the search is still being prepared. It returns at once, because Ray starts another
    worker if one takes long to be ready. A trial that starts earlier waits for the thread, by its
    name.

    TensorFlow's runtime keeps the GPUs that it sees when it starts. Ray assigns GPUs when a trial
    starts, seconds later, so the runtime is started here only if trials have none.
    """
    threading.Thread(target=_import, name="preload", daemon=True).start()


def _import() -> None:
    try:
        import keras
    except ImportError:
        return  # the trial's own import raises it
    if keras.backend.backend() == "tensorflow" and has_no_gpu():
        import tensorflow as tf

        hide_gpus()
        tf.constant(0)  # starts TensorFlow's runtime
    # Spare the garbage collector a million objects that stay until the process ends.
    gc.collect()
    gc.freeze()
