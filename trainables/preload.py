"""What a worker process does once, when it starts, so that no trial has to."""

from __future__ import annotations

import gc


def preload() -> None:
    """Import Keras and TensorFlow, and let the collector of garbage leave their objects alone.

    Re-exported beside a trainable, it is called while the search is still being prepared. A module
    that cannot be imported is left to the trial, whose error is reported.
    """
    try:
        import keras
    except ImportError:
        return
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.constant(0)  # starts TensorFlow's runtime
    gc.collect()
    gc.freeze()
