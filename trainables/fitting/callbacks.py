"""The callbacks of a fit: a list for each replica, and a folder for the files that they write."""

from __future__ import annotations

import contextlib
import copy
import reprlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from trainables.fitting.session import is_in_session

if TYPE_CHECKING:
    import keras

# A list of callbacks, or a function of none that makes a new one.
Callbacks = (
    Sequence["keras.callbacks.Callback"] | Callable[[], Sequence["keras.callbacks.Callback"]]
)
Lists = list[list["keras.callbacks.Callback"]]  # by replica


def list_callbacks(callbacks: Callbacks, replicas: int) -> Lists:
    """Return a list of callbacks for each replica: made by a function, or copied.

    Raises:
        ValueError: if something in it is no callback, or cannot be copied.
    """
    if _is_maker(callbacks):
        return [_as_list(callbacks()) for _ in range(replicas)]  # type: ignore[operator]
    first = _as_list(callbacks)
    return [first, *(_copy(first) for _ in range(replicas - 1))]


@contextlib.contextmanager
def trained_in_turns(lists: Lists) -> Iterator[None]:
    """Let callbacks begin and end their training once, however often ``model.fit`` is called."""
    ends = []
    for callback in (each for callbacks in lists for each in callbacks):
        ends.append(callback.on_train_end)
        callback.on_train_begin = _only_once(callback.on_train_begin)
        callback.on_train_end = _do_nothing
    yield
    for end in ends:
        end()


@contextlib.contextmanager
def folder_for_files(callbacks: Sequence[keras.callbacks.Callback], part: str) -> Iterator[None]:
    """Make the trial's folder the current one for a block, so that relative files lie there.

    If storage is no local folder, it is the one that Tune gives the trial on its machine. Outside
    Tune the current folder stays what it is, and only a ``part`` has a folder inside it.

    Args:
        callbacks: those that may write files; without any, nothing is done.
        part: a folder inside the trial's, for one of several replicas; else empty.
    """
    base = (_local_folder() if is_in_session() else None) or Path.cwd()
    folder = base / part
    if not callbacks or folder == Path.cwd():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        with contextlib.suppress(OSError):  # it holds something
            folder.rmdir()


@contextlib.contextmanager
def files_uploaded(lists: Lists) -> Iterator[None]:
    """Upload the files of callbacks after a block, if storage is no local folder."""
    try:
        yield
    finally:
        if any(lists) and is_in_session() and _local_folder() is None:
            _upload(Path.cwd())


def _is_maker(callbacks: Any) -> bool:
    import keras

    return callable(callbacks) and not isinstance(callbacks, keras.callbacks.Callback)


def _as_list(callbacks: Any) -> list[keras.callbacks.Callback]:
    import keras

    kind = keras.callbacks.Callback
    found = [callbacks] if isinstance(callbacks, kind) else callbacks
    if not isinstance(found, Sequence) or not all(isinstance(each, kind) for each in found):
        raise ValueError(
            f"callbacks must be a list of Keras callbacks, or a function of none that returns one; "
            f"got {reprlib.repr(callbacks)}"
        )
    return list(found)


def _copy(callbacks: list[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    try:
        return copy.deepcopy(callbacks)
    except Exception as error:
        names = ", ".join(type(each).__name__ for each in callbacks)
        raise ValueError(
            f"callbacks {names} cannot be copied for each replica ({error}); give a function of "
            "none that returns a new list"
        ) from error


def _only_once(function: Callable[..., None]) -> Callable[..., None]:
    calls: list[None] = []

    def call(logs: Any = None) -> None:
        if not calls:
            calls.append(None)
            function(logs)

    return call


def _do_nothing(logs: Any = None) -> None:
    pass


def _local_folder() -> Path | None:
    """Return the folder of the trial in storage, None if that is elsewhere."""
    from pyarrow.fs import LocalFileSystem

    storage = tune.get_context().get_storage()
    is_local = isinstance(storage.storage_filesystem, LocalFileSystem)
    return Path(storage.trial_fs_path) if is_local else None


def _upload(folder: Path) -> None:
    """Copy the files of a folder to the trial's folder in storage."""
    from pyarrow.fs import LocalFileSystem, copy_files

    storage = tune.get_context().get_storage()
    if any(folder.iterdir()):
        copy_files(
            str(folder),
            storage.trial_fs_path,
            source_filesystem=LocalFileSystem(),
            destination_filesystem=storage.storage_filesystem,
        )
