"""The Ray of a profile: one of this machine's own, or a cluster that is joined."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tune_jobs.engine.cluster.kept import KeptRay, end_kept, keep, kept_ray, used
from tune_jobs.engine.cluster.local_ray import start_local
from tune_jobs.engine.cluster.stderr import stderr_aside
from tune_jobs.engine.cluster.tokens import use_token
from tune_jobs.engine.cluster.worker_start import PRELOAD
from tune_jobs.engine.errors import ClusterError, JobError
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.ray_internals import (
    SETUP_HOOK,
    outlive_node,
    printing_with,
    with_loopback_kept,
)

logger = logging.getLogger(__name__)

PREPARE = "tune_jobs.engine.cluster.worker_start.prepare"

FROM_OUTSIDE = "from outside the cluster, use tune-jobs submit"


def worker_env(profile: Profile, import_paths: Sequence[str]) -> dict[str, str]:
    """Return the environment that a worker needs before Keras is imported.

    Threads are pinned to the trial's CPUs, so that n workers on n cores do not oversubscribe; a
    GPU's memory grows as needed instead of being taken whole, so that fractions of it can be given.
    """
    threads = str(max(1, math.ceil(profile.cpus_per_trial)))
    inherited = os.environ.get("PYTHONPATH", "")
    return {
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # the numbers of nvidia-smi, and of Ray
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "TUNE_JOBS_GPUS_PER_TRIAL": f"{profile.gpus_per_trial:g}",
        "PYTHONPATH": os.pathsep.join([*import_paths, *filter(None, [inherited])]),
        **profile.env,
    }


@contextmanager
def ray_of(
    profile: Profile,
    import_paths: Sequence[str],
    preload: str | None = None,
    *,
    is_kept: bool = False,
) -> Iterator[None]:
    """Join the profile's Ray, or start a local one, which ends with the block.

    A Ray that this process has joined already is used as it is, and left running. Workers stay warm
    from one search of the block to the next; with ``is_kept`` those of a local Ray, and a Ray that
    is started here, stay for later runs of this process, too.
    """
    import ray

    kept = _find_kept(profile, import_paths, preload)
    is_local, is_started = profile.address == "local", not ray.is_initialized()
    ends = kept is None and not (is_local and is_kept)
    with _printing(is_local, is_quiet=is_started or is_kept or kept is not None):
        if is_started:
            connect(profile, import_paths, preload)
        if kept is None:
            env = _env_of(profile, import_paths, preload)
            kept = keep(env, is_owned=is_started and is_local, is_cluster=not is_local)
        user = threading.get_ident()
        try:
            with used(kept) if kept else nullcontext():
                yield
        finally:
            if threading.get_ident() == user:  # else another one ends the process, and kills Ray
                if ends:
                    end_kept()
                if is_started and not is_local:
                    ray.shutdown()


def _find_kept(
    profile: Profile, import_paths: Sequence[str], preload: str | None
) -> KeptRay | None:
    """Return the Ray that this process keeps; one that does not fit a run is ended instead."""
    kept = kept_ray()
    if kept is None or kept.users:
        return kept
    env = _env_of(profile, import_paths, preload)
    if profile.address == "local" and kept.fits(env):
        return kept
    end_kept()
    return None


def _env_of(profile: Profile, import_paths: Sequence[str], preload: str | None) -> dict[str, str]:
    return worker_env(profile, import_paths) | ({PRELOAD: preload} if preload else {})


def connect(profile: Profile, import_paths: Sequence[str], preload: str | None = None) -> None:
    """Call ``ray.init`` with the profile's address: never the one it would find by itself.

    ``preload`` names a function that every worker process calls when it starts: trials then find
    Keras imported.
    """
    import ray

    use_token(profile.token_file)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    env = _env_of(profile, import_paths, preload)
    if profile.address != "local":
        hook = {"worker_process_setup_hook": PREPARE} if preload else {}
        with _explained(profile.address), with_loopback_kept():
            ray.init(address=profile.address, runtime_env={"env_vars": env, **hook}, **quiet)
        outlive_node()
        return
    # What the workers need goes through the environment: a runtime_env of their own would keep Ray
    # from giving trials the worker processes that it starts ahead.
    start_local(env | {SETUP_HOOK: PREPARE}, **quiet)
    outlive_node()


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Say in one line why a cluster cannot be joined; Ray takes minutes if nothing answers.

    Raises:
        ClusterError: if nothing answers.
        JobError: if the cluster runs other versions.
    """
    _check_answers(address)
    with stderr_aside() as written:
        try:
            yield
            return
        except ConnectionError as error:
            said = f"{error} {written()}"
        except RuntimeError as error:
            said = str(error)
            if "ersion mismatch" not in said:
                raise
    raise _explain(address, said)


def _check_answers(address: str) -> None:
    """Refuse a ``host:port`` where nothing listens.

    Raises:
        ClusterError: naming it.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ClusterError(
            f"no cluster answers at {address} ({error.strerror or error}); {FROM_OUTSIDE}"
        ) from None


def _explain(address: str, said: str) -> JobError:
    """Turn what Ray says when it cannot join a cluster into one line."""
    if "ersion mismatch" in said:
        return JobError(
            f"the cluster at {address} runs different versions: {' '.join(said.split())}"
        )
    if "nauthenticated" in said:
        return JobError(
            f"the cluster at {address} refused the connection; token_file in the profile must name "
            "a file with the token that the cluster was started with"
        )
    return ClusterError(f"no Ray cluster answers at {address}; {FROM_OUTSIDE}")


def _printing(is_local: bool, *, is_quiet: bool) -> AbstractContextManager[None]:
    """Let Ray print what matters: of a local one nothing, if it is not somebody else's."""
    if not is_local:
        return _lost_nodes_logged() if is_quiet else nullcontext()
    return _silenced() if is_quiet else nullcontext()


def _lost_nodes_logged() -> AbstractContextManager[None]:
    """Log the loss of a node in one line; Ray prints 45 among the results."""

    def log(data: Mapping[str, Sequence[str]]) -> None:
        lines = [line for text in data.get("lines") or () for line in str(text).splitlines()]
        if lines:
            logger.warning(lines[0])

    return printing_with(log)


def _silenced() -> AbstractContextManager[None]:
    """Print nothing that a local Ray says of its processes: what matters ends the run."""
    return printing_with(lambda _: None)
