"""Prepare a worker process once, when it starts, instead of in each trial."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

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


# What Keras imports and few models use: it brings scikit-learn, a fifth of the time.
SELDOM_USED = "keras.wrappers"


class _Lazily:
    """A finder of one module, which is loaded when it is first used.

    Attributes:
        name: the module's.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module; no other."""
        found = PathFinder.find_spec(name, path, target) if name == self.name else None
        if found is not None and found.loader is not None:
            found.loader = LazyLoader(found.loader)
        return found


@contextmanager
def lazily(name: str) -> Iterator[None]:
    """Let a module that is imported in the block be loaded when it is first used."""
    finder = _Lazily(name)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _import() -> None:
    try:
        with lazily(SELDOM_USED):
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
