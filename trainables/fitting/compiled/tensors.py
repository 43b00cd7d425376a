"""Arrays as tensors: those in shared memory stay where they are."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

# TensorFlow's kernels want memory aligned to this many bytes.
ALIGNMENT = 64

# Smaller arrays are copied: it costs nothing.
SMALLEST_SHARED = 2**20


def to_tensor(array: np.ndarray) -> Any:
    """Return an array as a tensor in the types that ``model.fit`` would give it.

    A large float32 or integer array is not copied, but must then outlive the tensor unchanged.
    Ray maps such arrays from its object store into every worker of a node.
    """
    import keras
    import tensorflow as tf

    if array.dtype.kind == "f" and array.dtype.name != keras.config.floatx():
        array = array.astype(keras.config.floatx())
    if _can_be_shared(array) and not tf.config.get_visible_devices("GPU"):
        return tf.experimental.dlpack.from_dlpack(_writable(array).__dlpack__())
    return tf.constant(array)


def _can_be_shared(array: np.ndarray) -> bool:
    return bool(
        array.nbytes >= SMALLEST_SHARED
        and array.dtype.kind in "fiu"
        and array.flags.c_contiguous
        and array.ctypes.data % ALIGNMENT == 0
    )


def _writable(array: np.ndarray) -> np.ndarray:
    """The same memory as a writable array: numpy exports no other, and nothing writes to it."""
    if array.flags.writeable:
        return array
    buffer: Any = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    buffer._owner = array  # kept as long as the buffer, which the exported tensor keeps
    shared: np.ndarray = np.frombuffer(buffer, array.dtype).reshape(array.shape)
    return shared
