"""What a worker process does once, when it starts, so that no trial has to."""

from __future__ import annotations

import gc
import threading

from trainables.fitting.devices import has_no_gpu, hide_gpus


def preload() -> None:
    """Import Keras and TensorFlow in the background.

    Re-exported beside a trainable, it is called in every worker process as soon as that starts,
    while the search is still being prepared. It returns at once: a worker that takes long to be
    ready makes Ray start another. A trial that comes too early waits for the import.

    TensorFlow's runtime, which keeps the GPUs that it sees when it starts, is started only where
    trials have none: Ray says which are a trial's when the trial starts, seconds after this.
    """
    threading.Thread(target=_import, name="preload", daemon=True).start()


def _import() -> None:
    try:
        import keras
    except ImportError:
        return  # the trial's own import says why
    if keras.backend.backend() == "tensorflow" and has_no_gpu():
        import tensorflow as tf

        hide_gpus()
        tf.constant(0)  # starts TensorFlow's runtime
    # The collector of garbage need not look at a million objects that stay for ever.
    gc.collect()
    gc.freeze()
