"""The GPUs of a trial: how much memory of one TensorFlow may take, and one model on several.

A worker process is prepared once, before TensorFlow first uses a device: what the process sees and
takes cannot be changed after that. Outside a Ray worker nothing is changed.
"""

from __future__ import annotations

import os
import subprocess
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# The environment variable of workers that holds the profile's gpus_per_trial.
GPUS_VARIABLE = "TUNE_JOBS_GPUS_PER_TRIAL"

# MiB that TensorFlow itself leaves free on a GPU of compute capability 8 (MinSystemMemory in its
# gpu_device.cc) for what it does not allocate: the CUDA context, cuBLAS and cuDNN. Each process
# has these. A logical device's limit does not count them, so they are deducted from the share.
CONTEXT_MIB = 1536

# Files of which a machine with a GPU has one: NVIDIA's driver, also in a container; WSL; AMD's.
DRIVERS = ("/proc/driver/nvidia/gpus", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def reserved_gpus() -> float | None:
    """Return how many GPUs Ray reserved for this worker, or None outside a Ray worker."""
    import ray

    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.worker.mode != ray.WORKER_MODE:
        return None
    return float(context.get_assigned_resources().get("GPU", 0))


def has_no_gpu() -> bool:
    """Return whether no trial of this process can have a GPU.

    Only then are its devices known before a trial starts, since Ray assigns GPUs to trials.
    """
    wanted = os.environ.get(GPUS_VARIABLE)
    if wanted is not None:
        return float(wanted) == 0
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return hidden or not any(Path(driver).exists() for driver in DRIVERS)


@cache
def prepare_gpus() -> None:
    """Limit what TensorFlow sees and takes of this worker's GPUs: once, before its first operation.

    Memory grows as it is needed. With a fraction of a GPU, at most that fraction of its memory is
    taken. A worker without a GPU sees none, although Ray leaves those of the machine visible.
    """
    reserved = reserved_gpus()
    if reserved is None:
        return
    import keras

    if keras.backend.backend() != "tensorflow":
        return
    try:
        if reserved == 0:
            hide_gpus()
        else:
            _bound_memory(reserved)
    except RuntimeError as error:
        warnings.warn(f"TensorFlow ran before fit(...), too early for: {error}", stacklevel=2)


def hide_gpus() -> None:
    """Let TensorFlow use no GPU in this process."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def _bound_memory(reserved: float) -> None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        warnings.warn(
            f"{reserved:g} GPUs are reserved, but TensorFlow sees none and trains on the CPU; "
            "is the driver there, and is it tensorflow[and-cuda]?",
            stacklevel=3,
        )
    total = total_memory() if reserved < 1 else None
    for gpu in gpus:
        if total is None:
            tf.config.experimental.set_memory_growth(gpu, True)
        else:  # excludes the line above, but not the engine's TF_FORCE_GPU_ALLOW_GROWTH
            limit = tf.config.LogicalDeviceConfiguration(memory_limit(reserved, total))
            tf.config.set_logical_device_configuration(gpu, [limit])


def memory_limit(share: float, total: float) -> int:
    """Return how much memory TensorFlow may allocate for a share of a GPU, in MiB.

    The rest of the share is for the CUDA context: at most a quarter of it.
    """
    part = share * total
    return int(part - min(CONTEXT_MIB, part / 4))


def total_memory() -> int | None:
    """Return the memory of the first visible GPU in MiB, as the driver's nvidia-smi reports it.

    None if there is no nvidia-smi, or it does not know the device (an instance of MIG).
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    query = ["--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            ["nvidia-smi", f"--id={visible}", *query],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return int(answer.stdout.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def make_strategy() -> tf.distribute.Strategy | None:
    """Return a strategy that mirrors a model on this worker's GPUs, or None with fewer than two.

    Raises:
        ValueError: if several GPUs are reserved, but Keras does not run on TensorFlow.
    """
    reserved = reserved_gpus() or 0
    if reserved < 2:
        return None
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"{reserved:g} GPUs in one trial need Keras on TensorFlow, but the backend is "
            f"{backend}; set gpus_per_trial to 1"
        )
    import tensorflow as tf

    gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    return tf.distribute.MirroredStrategy(gpus) if len(gpus) > 1 else None
