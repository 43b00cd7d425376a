"""A profile: where a job runs, and with how much of the machine."""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from tune_jobs.engine.errors import ClusterError, JobError
from tune_jobs.engine.names import nearest
from tune_jobs.engine.placement import (
    Autoscaler,
    Node,
    NodeType,
    alive_nodes,
    trials_at_once,
    trials_with_all,
)
from tune_jobs.engine.screen import stderr_aside
from tune_jobs.engine.tokens import use_token

FOLDER = Path("cluster", "profiles")

# Names of environment variables that hold secrets, and what is the same place on every node.
SECRET = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|(^|_)KEY($|_ID$)|API_?KEY", re.IGNORECASE)
ABSOLUTE = re.compile(r"/|[a-z][a-z0-9+.-]*://", re.IGNORECASE)

# Private to Ray, and tested: the variable behind ``worker_process_setup_hook``, and the methods
# that start processes which one machine has no use for.
WORKER_PROCESS_SETUP_HOOK_ENV_VAR = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
UNNEEDED = ("start_monitor", "start_log_monitor", "start_api_server")

LEAST = {
    "cpus_per_trial": 0.01,
    "gpus_per_trial": 0,
    "max_failures": -1,
    "max_silence_minutes": 0.01,
    "min_free_gb": 0,
}


@dataclass(frozen=True)
class Profile:
    """Address, storage and resources; the defaults are a laptop's.

    ``address`` is ``local`` (a Ray of one's own, ended with the run), ``auto`` (the cluster of the
    machine that the search runs on) or a cluster's ``host:port``; ``jobs_api`` is where that
    cluster takes jobs from outside, and ``token_file`` holds its token. ``storage`` is a folder or
    a URI that pyarrow knows; ``env`` reaches the workers before Keras.
    ``max_failures`` is how often a trial whose worker was lost starts again from its checkpoint;
    one without a report for ``max_silence_minutes`` is taken to hang. A run ends before less than
    ``min_free_gb`` of a local storage are left; above ``max_checkpoint_gb`` the worst trials'
    checkpoints go.

    Raises:
        JobError: for a field that is not as it must be.
    """

    address: str = "local"
    jobs_api: str | None = None
    token_file: str | None = None
    storage: str = "results"
    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    max_concurrent_trials: int | None = None
    max_failures: int = 3
    max_silence_minutes: float = 60
    min_free_gb: float = 0.5
    max_checkpoint_gb: float | None = None
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("address", "storage"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise JobError(f"{name} is {getattr(self, name)!r}, but must be text")
        for name in ("jobs_api", "token_file"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise JobError(f"{name} is {value!r}, but must be text")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
                raise JobError(f"{name} is {value!r}, but must be a number >= {least}")
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise JobError(
                f"gpus_per_trial is {self.gpus_per_trial:g}, but above 1 Ray gives whole GPUs only"
            )
        bound = self.max_checkpoint_gb
        if bound is not None and (not isinstance(bound, int | float) or not bound > 0):
            raise JobError(f"max_checkpoint_gb is {bound!r}, but must be a number > 0")
        limit = self.max_concurrent_trials
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise JobError(f"max_concurrent_trials is {limit!r}, but must be a whole number >= 1")
        if not isinstance(self.env, dict) or not all(
            isinstance(text, str) for pair in self.env.items() for text in pair
        ):
            raise JobError(f"env is {self.env!r}, but must map names to text")
        for name in self.env:
            if SECRET.search(name):
                raise JobError(
                    f"env.{name} looks like a secret, which would show in logs and in the "
                    "dashboard; set it on the nodes, or give them a role"
                )
        if self.jobs_api is not None and not self.jobs_api.startswith(("http://", "https://")):
            raise JobError(
                f"jobs_api is {self.jobs_api!r}, but must be a URL such as http://127.0.0.1:8265"
            )
        if self.address != "local" and not ABSOLUTE.match(self.storage):
            raise JobError(
                f"storage is {self.storage!r}, but the nodes of a cluster have no folder in "
                "common to start from: give an absolute path that all share, or a URI"
            )

    @property
    def resources(self) -> dict[str, float]:
        """What one trial reserves, as Ray's ``with_resources`` takes it."""
        return {"cpu": self.cpus_per_trial, "gpu": self.gpus_per_trial}

    def concurrency(self, nodes: Sequence[Node], autoscaler: Autoscaler | None = None) -> int:
        """How many trials are to run at once on nodes, and on those that an autoscaler may start.

        Raises:
            JobError: if not even one fits on a node, which Ray would leave pending for ever.
        """
        autoscaler = autoscaler or Autoscaler()
        most = trials_with_all(nodes, autoscaler, self.resources)
        limit = self.max_concurrent_trials or max(1, trials_at_once(nodes, self.resources))
        if autoscaler.problem:  # what may be started is not known
            return limit
        if not most:
            raise JobError(self._explain_lack([*nodes, *autoscaler.types]))
        return min(most, limit)

    def _explain_lack(self, places: Sequence[Node | NodeType]) -> str:
        for unit, wanted in self.resources.items():
            largest = max((place.resources.get(unit.upper(), 0) for place in places), default=0)
            if wanted > largest:
                return (
                    f"{unit}s_per_trial is {wanted:g}, but {self._place} has {largest:g} "
                    f"{unit.upper()}s{'' if self.address == 'local' else ' on a node'}: "
                    "no trial could start"
                )
        return (
            f"no node of {self._place} has the {self.cpus_per_trial:g} CPUs and "
            f"{self.gpus_per_trial:g} GPUs of a trial together: no trial could start"
        )

    @property
    def _place(self) -> str:
        return "this machine" if self.address == "local" else f"the cluster at {self.address}"


def find_profile(name: str) -> Path:
    """Where a profile lies that is called by its name, or by its path."""
    return Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"


def load_profile(name: str) -> Profile:
    """Read ``cluster/profiles/<name>.yaml``, or the file at a path; ``laptop`` is built in.

    Raises:
        JobError: for an unknown profile, an unknown key or a value that does not fit.
    """
    path = find_profile(name)
    if not path.is_file():
        if name == "laptop":
            return Profile()
        known = sorted({"laptop", *(found.stem for found in FOLDER.glob("*.yaml"))})
        raise JobError(f"no profile at {path}{nearest(name, known)} Profiles: {', '.join(known)}")
    return _parse(path)


def _parse(path: Path) -> Profile:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise JobError(f"{path}: holds {content!r}, but must map keys to values")
    known = [entry.name for entry in fields(Profile)]
    for key in content:
        if key not in known:
            raise JobError(
                f"{path}: unknown key {key!r}{nearest(str(key), known)} Known: {', '.join(known)}"
            )
    try:
        return Profile(**content)
    except JobError as error:
        raise JobError(f"{path}: {error}") from None


def local_resources() -> dict[str, float]:
    """CPUs that this process may use, and NVIDIA GPUs, of this machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    else:
        gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    return {"CPU": cpus, "GPU": gpus}


def worker_env(profile: Profile, import_paths: Sequence[str]) -> dict[str, str]:
    """The environment that a worker needs before Keras is imported.

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


def local_node() -> Node:
    """This machine as a node."""
    return Node("", "this machine", local_resources())


def check_fits(profile: Profile) -> None:
    """Refuse a profile of which no trial fits, before anything is started, as far as is known.

    Raises:
        JobError: where not one trial fits this machine, or the Ray that was joined already.
    """
    import ray

    if ray.is_initialized():
        find_concurrency(profile)
    elif profile.address == "local":
        profile.concurrency([local_node()])


def find_concurrency(profile: Profile) -> int:
    """How many trials are to run at once on the Ray that this process has joined.

    Raises:
        JobError: if not even one fits on a node that is there or may be started.
    """
    from tune_jobs.engine.autoscaler import find_autoscaler

    autoscaler = Autoscaler() if profile.address == "local" else find_autoscaler()
    return profile.concurrency(alive_nodes(), autoscaler)


@contextmanager
def ray_of(
    profile: Profile, import_paths: Sequence[str], preload: str | None = None
) -> Iterator[None]:
    """Join the profile's Ray, or start a local one, which ends with the block.

    A Ray that this process has joined already is used as it is, and left running.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    connect(profile, import_paths, preload)
    try:
        yield
    finally:
        ray.shutdown()


def connect(profile: Profile, import_paths: Sequence[str], preload: str | None = None) -> None:
    """Call ``ray.init`` with the profile's address: never the one it would find by itself.

    ``preload`` names a function that every worker process calls when it starts: trials then find
    Keras imported.
    """
    import ray

    use_token(profile.token_file)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    env = worker_env(profile, import_paths)
    if profile.address != "local":
        hook = {"worker_process_setup_hook": preload} if preload else {}
        with _explained(profile.address):
            ray.init(address=profile.address, runtime_env={"env_vars": env, **hook}, **quiet)
        return
    found = local_resources()
    cpus, gpus = int(found["CPU"]), int(found["GPU"])
    # What the workers need goes through the environment: a runtime_env of their own would keep Ray
    # from giving trials the worker processes that it starts ahead.
    hook = {WORKER_PROCESS_SETUP_HOOK_ENV_VAR: preload} if preload else {}
    with environment(env | hook), _few_processes():
        ray.init(address="local", include_dashboard=False, num_cpus=cpus, num_gpus=gpus, **quiet)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Say in one line why a cluster cannot be joined; Ray takes minutes where nothing answers.

    Raises:
        ClusterError: where nothing answers.
        JobError: where the cluster runs other versions.
    """
    from_outside = "from outside of a cluster, use tune-jobs submit"
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise ClusterError(
                f"no cluster answers at {address} ({error.strerror or error}); {from_outside}"
            ) from None
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
    if "ersion mismatch" in said:
        raise JobError(f"the cluster at {address} runs other versions: {' '.join(said.split())}")
    if "nauthenticated" in said:
        raise JobError(
            f"the cluster at {address} does not let this process join; token_file of the profile "
            "must name the file with the token that the cluster was started with"
        )
    raise ClusterError(f"no Ray cluster answers at {address}; {from_outside}")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block, and leave them as they were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _few_processes() -> Iterator[None]:
    """Start a Ray of one machine without autoscaler, log monitor and dashboard: half the time."""
    from ray._private.node import Node

    before = {name: getattr(Node, name) for name in UNNEEDED}
    for name in UNNEEDED:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)
