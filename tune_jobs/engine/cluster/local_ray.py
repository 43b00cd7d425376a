"""A Ray of this machine alone: nobody else reaches it, and nothing of it stays behind."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from subprocess import Popen
from typing import Any

from tune_jobs.engine.cluster.machine import local_resources
from tune_jobs.engine.cluster.processes import kill_sessions
from tune_jobs.engine.cluster.tokens import MODE, TOKEN, TOKEN_PATH
from tune_jobs.engine.cluster.worker_start import UMASK
from tune_jobs.engine.environment import environment
from tune_jobs.engine.errors import ClusterError, JobError, reason_of
from tune_jobs.engine.experiments.claims import Claim, describe_self, is_here, is_running
from tune_jobs.engine.formatting import size
from tune_jobs.engine.ray_internals import (
    PRIVATE,
    OwnNode,
    apart,
    own_node,
    reload_environment,
    start_limits,
    temp_folder,
    waiting_for_start,
    with_closed_session,
    with_loopback_kept,
    without_side_processes,
)

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
OWNER = "tune-jobs.json"  # in a session folder: the process that started it

# Seconds of a start after which a line says that it takes long, and after which it is given up.
LONG_START, LONGEST_START = 20.0, 600.0

# What Ray needs for its sockets and logs: bytes, and files.
LEAST_FREE, LEAST_FILES = 20 * 2**20, 200


def start_local(env: Mapping[str, str], **options: Any) -> None:
    """Start a Ray that listens on this machine's loopback address alone, and connect to it.

    Args:
        env: environment of its processes.
        options: of ``ray.init``.

    Raises:
        JobError: if its folder cannot be written.
        ClusterError: if it does not start.
    """
    import ray

    check_folder()
    use_own_token()
    remove_dead_sessions()
    found = local_resources()
    needed = {**start_limits(LONGEST_START), **env, UMASK: f"{_own_umask():03o}"}
    with environment(needed), _kept_private():
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=int(found["CPU"]),
            num_gpus=int(found["GPU"]),
            _node_ip_address=LOOPBACK,
            **options,
        )


def _own_umask() -> int:
    """Return the umask of this process, which can only be read by setting it."""
    umask = os.umask(PRIVATE)
    os.umask(umask)
    return umask


@contextmanager
def _kept_private() -> Iterator[None]:
    """Let Ray start for this process alone; if it does not start, nothing of it stays behind.

    Raises:
        ClusterError: if it does not start.
    """
    processes: list[Popen[Any]] = []
    sessions: list[Path] = []

    def note(session: Path) -> None:
        (session / OWNER).write_text(json.dumps(asdict(describe_self())), encoding="utf-8")
        sessions.append(session)

    with ExitStack() as stack:
        stack.enter_context(without_side_processes())
        stack.enter_context(with_loopback_kept())
        stack.enter_context(apart(processes))
        stack.enter_context(with_closed_session(note))
        stack.enter_context(waiting_for_start(lambda look: wait_patiently(look, processes)))
        try:
            yield
            for session in sessions:
                _close(session)
        except BaseException as error:
            kill_sessions([process.pid for process in processes])
            for session in sessions:
                _remove(session)
            if not isinstance(error, Exception):
                raise
            raise ClusterError(f"Ray did not start: {reason_of(error)}") from error


def check_folder() -> None:
    """Refuse to start a Ray that could not write its sockets and logs: it waits, then fails.

    Raises:
        JobError: naming its folder.
    """
    place = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    advice = "set RAY_TMPDIR to another folder"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place):
            pass
        system = os.statvfs(place)
    except OSError as error:
        reason = error.strerror or reason_of(error)
        raise JobError(f"Ray cannot write to its folder {place}: {reason}; {advice}") from None
    free = system.f_bavail * system.f_frsize
    if free < LEAST_FREE or (system.f_files > 0 and system.f_favail < LEAST_FILES):
        raise JobError(
            f"Ray's folder {place} is nearly full ({size(free)} and {system.f_favail:,} files "
            f"free); {advice}"
        )


def stop_local() -> None:
    """End the Ray that this process has started, and remove its session folder."""
    import ray

    node = own_node()
    ray.shutdown()
    _kill(node)


def kill_local() -> None:
    """Do the same without Ray, which a thread of this process waits for; this process ends now."""
    _kill(own_node())


def _kill(node: OwnNode | None) -> None:
    """Kill what was started for a node; in a cluster, that is nothing."""
    if node is not None and node.processes:
        kill_sessions([*node.processes.values()])
        _remove(node.session)


def wait_patiently(
    look: Callable[[], Any],
    processes: Sequence[Popen[Any]] = (),
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: float = 0.1,
) -> Any:
    """Return what ``look`` finds, however busy the machine is.

    Args:
        look: raises a RuntimeError until it finds something.
        processes: those that are waited for.
        clock: tells the seconds that pass.
        pause: seconds between two looks.

    Raises:
        ClusterError: if one of the processes has ended, or nothing is found for ten minutes.
    """
    began, is_told = clock(), False
    while True:
        with suppress(RuntimeError):
            return look()
        waited = clock() - began
        for process in processes:
            if process.poll() is not None:
                raise ClusterError(f"its {_name_of(process)} ended")
        if waited > LONGEST_START:
            raise ClusterError(f"it was not ready after {LONGEST_START:.0f} seconds")
        if waited > LONG_START and not is_told:
            is_told = True
            logger.warning(
                f"waiting: Ray has not started in {LONG_START:.0f} seconds; this machine is busy"
            )
        time.sleep(pause)


def _name_of(process: Popen[Any]) -> str:
    """Return the name of the program that a process runs."""
    program, *_ = process.args if isinstance(process.args, Sequence) else [process.args]
    return Path(str(program)).name


def use_own_token() -> None:
    """Let Ray ask everybody for a token that only this user can read.

    A mode, a token or a file of one that is set in the environment is respected.
    """
    mode = os.environ.setdefault(MODE, "token")
    if mode == "token" and not {TOKEN, TOKEN_PATH} & {*os.environ}:
        _protect(Path.home() / ".ray" / "auth_token")
    reload_environment()


def _protect(token: Path) -> None:
    """Create the token's file if there is none, and close it to others."""
    token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    for path, mode in ((token.parent, 0o700), (token, 0o600)):
        with suppress(PermissionError):
            path.chmod(mode)


def remove_dead_sessions() -> None:
    """Remove the session folders that runs of this user left behind when they were killed."""
    for note in temp_folder().glob(f"session_*/{OWNER}"):
        with suppress(OSError, ValueError):
            owner = Claim.from_json(json.loads(note.read_text(encoding="utf-8")))
            is_mine = note.stat().st_uid == os.getuid()
            if is_mine and is_here(owner) and not is_running(owner):
                _remove(note.parent)


def _close(session: Path) -> None:
    """Close a session folder, and so all in it, to others; Ray's C++ opens it to everybody."""
    with suppress(OSError):  # it is gone
        session.chmod(0o700)


def _remove(session: Path) -> None:
    """Remove a session folder, and Ray's link to it."""
    shutil.rmtree(session, ignore_errors=True)
    latest = session.parent / "session_latest"
    with suppress(OSError):
        if latest.readlink() == session:
            latest.unlink()
