"""Arrays as tensors, without copying those in shared memory."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

# The alignment, in bytes, that TensorFlow's kernels need.
ALIGNMENT = 64

# Arrays smaller than this are copied, which takes no time.
SMALLEST_SHARED = 2**20


def to_tensor(array: np.ndarray) -> tf.Tensor:
    """Return an array as a tensor of the type that ``model.fit`` would give it.

    A large float32 or integer array is not copied, and must outlive the tensor unchanged. Ray maps
    such arrays from its object store into every worker of a node.
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
    """Return the same memory as a writable array, as numpy exports no other; it is never written.

    The buffer keeps the array, and the exported tensor keeps the buffer.
    """
    if array.flags.writeable:
        return array
    buffer: Any = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    buffer.owner = array
    shared: np.ndarray = np.frombuffer(buffer, array.dtype).reshape(array.shape)
    return shared
