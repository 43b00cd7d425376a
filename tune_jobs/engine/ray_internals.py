"""Every private name of Ray that is used, behind functions, and checked when a run starts.

Ray has no public way to these, and pyproject.toml pins the minor version that they were tested
with. What replaces methods of Tune is in :mod:`~tune_jobs.engine.trials.ray_patches`.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.environment import environment
from tune_jobs.engine.errors import JobError

if TYPE_CHECKING:
    from ray.tune import Checkpoint, RunConfig, TuneConfig, Tuner
    from ray.tune.experiment import Trial

TESTED = "2.60"

# A module, and what to look up in it.
FREE_RESOURCES = "ray._private.state:state.available_resources_per_node"
CLUSTER_CONFIG = "ray._private.state:state.get_cluster_config"
STATUS_KEY = "ray._private.ray_constants:DEBUG_AUTOSCALING_STATUS"
READ_STORE = "ray.experimental.internal_kv:_internal_kv_get"
PRINT_TO_DRIVER = "ray._private.worker:print_to_stdstream"
START_MONITOR = "ray._private.node:Node.start_monitor"
START_LOG_MONITOR = "ray._private.node:Node.start_log_monitor"
START_DASHBOARD = "ray._private.node:Node.start_api_server"
TRY_DASHBOARD = "ray._private.utils:get_dashboard_dependency_error"
NATIVE_CONFIG = "ray._raylet:Config.initialize"
WORKER = "ray._private.worker:global_worker"
RESOLVE_HOST = "ray._private.services:resolve_ip_for_localhost"
START_PROCESS = "ray._private.services:ConsolePopen"
NOTE_PORT = "ray._raylet:persist_port"
AGENT_PORTS = (
    "ray._raylet:DASHBOARD_AGENT_LISTEN_PORT_NAME",
    "ray._raylet:METRICS_AGENT_PORT_NAME",
    "ray._raylet:METRICS_EXPORT_PORT_NAME",
)
FIND_NODE = "ray._private.services:get_node"
MAKE_FOLDER = "ray._private.node:try_to_create_directory"
TEMP_FOLDER = "ray._common.utils:get_default_ray_temp_dir"
TRAINING_RESULT = "ray.train._internal.session:_TrainingResult"
SAVE_STATE = "ray.tune.execution.experiment_state:_ExperimentCheckpointManager.on_trial_checkpoint"
FIND_CLASS = "ray.tune.execution.class_cache:_ActorClassCache.get"
KILL_WORKER = "ray.air.execution._internal.actor_manager:RayActorManager._try_kill_actor"
KILL_WORKERS = "ray.air.execution._internal.actor_manager:RayActorManager.cleanup"
SESSION = "ray.train._internal.session:get_session"
CALL_FAILED = "ray.air.execution._internal.actor_manager:RayActorManager._actor_task_failed"
START_FAILED = "ray.air.execution._internal.actor_manager:RayActorManager._actor_start_failed"
REUSE_WORKER = "ray.tune.execution.tune_controller:TuneController._maybe_cache_trial_actor"
KEEP_IDLE = "ray.tune.utils.object_cache:_ObjectCache.cache_object"
END_IDLE = "ray.tune.utils.object_cache:_ObjectCache.flush_cached_objects"
RESERVATIONS = "ray.tune.execution.tune_controller:PlacementGroupResourceManager"
WRITE_STATE = "ray.tune.execution.tune_controller:TuneController.checkpoint"
CHECK_TRAINABLE = "ray.tune.experiment.trial:validate_trainable"
FIND_TRAINABLE = "ray.tune.experiment.trial:get_trainable_cls"
SET_WORKER = "ray.tune.experiment.trial:Trial.set_ray_actor"
COLLECT_RESULTS = "ray.tune.tune:ExperimentAnalysis"
LIST_RESULTS = "ray.tune.impl.tuner_internal:ResultGrid"
HIDE_NOTEBOOK = "ray.tune.trainable.trainable:disable_ipython"

# What every run uses.
NEEDED = (
    *(FREE_RESOURCES, CLUSTER_CONFIG, STATUS_KEY, READ_STORE, PRINT_TO_DRIVER, NATIVE_CONFIG),
    *(START_MONITOR, START_LOG_MONITOR, START_DASHBOARD, TRY_DASHBOARD),
    *(WORKER, RESOLVE_HOST, START_PROCESS, FIND_NODE, MAKE_FOLDER, TEMP_FOLDER),
    *(NOTE_PORT, *AGENT_PORTS),
    *(TRAINING_RESULT, SAVE_STATE, REUSE_WORKER, FIND_CLASS, KILL_WORKER, KILL_WORKERS, SESSION),
    *(WRITE_STATE, CHECK_TRAINABLE, FIND_TRAINABLE, SET_WORKER, COLLECT_RESULTS, LIST_RESULTS),
    *(HIDE_NOTEBOOK, KEEP_IDLE, END_IDLE, RESERVATIONS),
)

# What only some commands use, and check then.
UPLOAD_LIMIT = "ray._private.ray_constants:DASHBOARD_CLIENT_MAX_SIZE"
UPLOAD_EXCLUDES = "ray._private.ray_constants:get_runtime_env_default_excludes"
UPLOAD_MATCHER = "ray._private.runtime_env.packaging:_get_excludes"
UPLOAD_WALK = "ray._private.runtime_env.packaging:_dir_travel"
PREPARE_CLUSTER_FILE = "ray.autoscaler._private.util:prepare_config"
VALIDATE_CLUSTER_FILE = "ray.autoscaler._private.util:validate_config"

# It travels to a head node as text: what runs there knows nothing of this package.
KUBERAY_CONFIG = "ray.autoscaler._private.kuberay.autoscaling_config:AutoscalingConfigProducer"

# The resource that only the head node has.
HEAD = "node:__internal_head__"

# The variable that tells a worker the process of its raylet.
RAYLET_ID = "RAY_RAYLET_PID"

# The variable behind ``worker_process_setup_hook``.
SETUP_HOOK = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"

# The program in place of the dashboard's agent.
STAND_IN = "cat"

# A raylet's option, and its agent's, by which the agent of runtime environments chooses its port.
ANY_RUNTIME_PORT = r"(--runtime[_-]env[_-]agent[_-]port=)0\b"

# Ports that nothing gets by chance: connections, and Ray's processes, get those above.
FREE_PORTS = range(20_000, 32_768)

# The umask under which what is written is open to its user alone.
PRIVATE = 0o077

# The logger that announces each upload.
UPLOAD_LOGGER = "ray._private.runtime_env.packaging"


def check_ray() -> None:
    """Refuse a version of Ray that lacks a private name that every run uses.

    Raises:
        JobError: naming the version, what it lacks, and the remedy.
    """
    from ray.tune.schedulers import AsyncHyperBandScheduler

    for place in NEEDED:
        find(place)
    rungs_of(AsyncHyperBandScheduler())


def find(place: str) -> Any:
    """Return what lies at a place of Ray, written as ``module:name.name``.

    Raises:
        JobError: if this version of Ray lacks it.
    """
    module, _, names = place.partition(":")
    with _explained(place):
        found: Any = import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
        return found


@contextmanager
def replaced(replacements: Mapping[str, Any]) -> Iterator[None]:
    """Replace members of Ray's classes and modules for a block, then restore them.

    Args:
        replacements: what stands in for each, by its place.

    Raises:
        JobError: if this version of Ray lacks one.
    """
    owners = {place: _owner_of(place) for place in replacements}
    before = {place: getattr(*owner) for place, owner in owners.items()}
    for place, member in replacements.items():
        setattr(*owners[place], member)
    try:
        yield
    finally:
        for place, member in before.items():
            setattr(*owners[place], member)


def free_resources() -> dict[str, dict[str, float]]:
    """Return the resources that are free at the moment, by node id.

    The public function adds all nodes up.
    """
    found: dict[str, dict[str, float]] = find(FREE_RESOURCES)()
    return found


def cluster_config() -> Any:
    """Return the node types that a platform has reported to Ray, None if none has.

    Nothing public knows a type of which no node runs.
    """
    return find(CLUSTER_CONFIG)()


def autoscaler_starts_nodes() -> bool:
    """Return whether Ray's autoscaler has node types to start, by its last report.

    ``ray status`` shows the report. Without a configuration each node is a type of its own in it.
    """
    status = json.loads(find(READ_STORE)(find(STATUS_KEY)) or "{}")
    types = (status.get("autoscaler_report") or {}).get("node_type_mapping") or {}
    return any(not re.fullmatch(r"node_[0-9a-f]+", name) for name in types.values())


def reload_environment() -> None:
    """Let Ray read the environment again, which it otherwise does only once."""
    find(NATIVE_CONFIG)("")


def start_limits(seconds: float) -> dict[str, str]:
    """Return the environment in which parts of Ray wait so long for each other when they start.

    Without it they give up after 30 to 60 s.
    """
    return {
        "RAY_gcs_server_port_wait_time_s": f"{seconds:.0f}",
        "RAY_raylet_start_wait_time_s": f"{seconds:.0f}",
        "RAY_agent_register_timeout_ms": f"{1000 * seconds:.0f}",
        "RAY_worker_register_timeout_seconds": f"{seconds:.0f}",
    }


def outlive_node() -> None:
    """Let this process live on if its raylet dies, so that it can say so.

    Where a connection to the raylet breaks, Ray ends the process if the raylet is dead. A driver is
    not told the raylet's id: Ray then asks if its parent is process 1, as under systemd or cron.
    """
    with environment({RAYLET_ID: str(os.getpid())}):
        reload_environment()


def without_side_processes() -> AbstractContextManager[None]:
    """Start a local Ray without autoscaler, log monitor and dashboard: half the time.

    Ray imports the dashboard's libraries to see whether its agent could start, which is left out
    (:func:`apart`).
    """
    unneeded = (START_MONITOR, START_LOG_MONITOR, START_DASHBOARD, TRY_DASHBOARD)
    return replaced(dict.fromkeys(unneeded, lambda *_, **__: None))


def with_loopback_kept() -> AbstractContextManager[None]:
    """Take 127.0.0.1 as the address of a node; Ray replaces it by one that others reach."""
    return replaced({RESOLVE_HOST: lambda host: host})


def apart(started: list[Popen[Any]]) -> AbstractContextManager[None]:
    """Start the processes of a local Ray apart from signals to this one, and from other users.

    Each has a session of its own. A signal to a whole control group reaches them, too: what asks
    for an end is blocked in them. What they write is open to this user alone. Their workers have
    both until :mod:`~tune_jobs.engine.cluster.worker_start`.

    Args:
        started: the processes are added to it.
    """

    class Apart(find(START_PROCESS)):  # type: ignore[misc]  # Ray's
        """A process of Ray in its own session, with its own umask."""

        def __init__(
            self, command: Sequence[str], *, preexec_fn: Callable[[], None], **options: Any
        ) -> None:
            def prepare() -> None:
                preexec_fn()
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
                os.umask(PRIVATE)

            super().__init__(
                without_waiting(command), preexec_fn=prepare, start_new_session=True, **options
            )
            started.append(self)

        def terminate(self) -> None:
            """Kill the process: it blocks SIGTERM."""
            self.kill()

    return replaced({START_PROCESS: Apart})


def without_waiting(command: Sequence[str]) -> list[str]:
    """Return the command of a raylet that waits for no agent; another one stays as it is.

    A raylet waits for the dashboard's agent before it starts workers, and the agent imports half of
    what a worker does. Without a dashboard nobody asks it: Ray itself notes -1 as the port of what
    is not there. The raylet ends if the agent does, so ``cat`` is in its place, which ends with the
    raylet: its input is a pipe from there.

    It waits as well for the port that the agent of runtime environments finds, and ends after 15 s,
    which a busy machine needs for Python to start: so the port is chosen here. The raylet asks that
    agent again and again until it answers.
    """
    agent = "--dashboard_agent_command="
    if not any(each.startswith(agent) for each in command):
        return [*command]
    pairs = (each.removeprefix("--").partition("=") for each in command)
    options = {name: value for name, _, value in pairs}
    for place in AGENT_PORTS:
        find(NOTE_PORT)(options["session_dir"], options["node_id"], find(place), -1)
    port = _free_port()
    command = [re.sub(ANY_RUNTIME_PORT, rf"\g<1>{port}", each) for each in command]
    return [f"{agent}{STAND_IN}" if each.startswith(agent) else each for each in command]


def _free_port() -> int:
    """Return a port that is free and that no other process gets by chance; 0 if all are taken."""
    for port in random.SystemRandom().sample(FREE_PORTS, len(FREE_PORTS)):
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return int(port)
    return 0


def temp_folder() -> Path:
    """Return the folder that a local Ray keeps its session folders in."""
    return Path(find(TEMP_FOLDER)())


def waiting_for_start(wait: Callable[[Callable[[], Any]], Any]) -> AbstractContextManager[None]:
    """Let a function decide how long to wait for the node of a local Ray; Ray gives it 30 s.

    Args:
        wait: called with a function that looks the node up, and raises a RuntimeError until it is
            there.
    """
    look = find(FIND_NODE)
    return replaced({FIND_NODE: lambda *args: wait(lambda: look(*args))})


def with_closed_session(note: Callable[[Path], None]) -> AbstractContextManager[None]:
    """Create the session folder of a local Ray for this user alone; Ray opens it to everybody.

    Args:
        note: called with the folder once it is there.
    """
    make = find(MAKE_FOLDER)

    def create(path: str) -> None:
        if not Path(path).name.startswith("session_"):
            make(path)
            return
        Path(path).mkdir(mode=0o700, exist_ok=True)
        note(Path(path))

    return replaced({MAKE_FOLDER: create})


@dataclass(frozen=True)
class OwnNode:
    """The node that this process is connected to.

    Attributes:
        processes: ids of the processes that were started for it, by their kind; none in a cluster.
        session: the folder of its logs and sockets.
        gcs: host and port of the process that knows the cluster.
        raylet: the socket of the process that runs the node.
    """

    processes: Mapping[str, int]
    session: Path
    gcs: str
    raylet: Path


def own_node() -> OwnNode | None:
    """Return the node that this process is connected to, None if it is connected to none.

    Raises:
        JobError: if this version of Ray keeps it elsewhere.
    """
    with _explained("Worker.node, Node.all_processes"):
        node = find(WORKER).node
        if node is None:
            return None
        started = {kind: each[0].process.pid for kind, each in node.all_processes.items() if each}
        session, socket = node.get_session_dir_path(), node.raylet_socket_name
        return OwnNode(started, Path(session), str(node.gcs_address), Path(socket))


def printing_with(
    log: Callable[[Mapping[str, Sequence[str]]], None],
) -> AbstractContextManager[None]:
    """Hand what Ray would print about workers and nodes to a function instead."""
    return replaced({PRINT_TO_DRIVER: lambda data, *_, **__: log(data)})


def rungs_of(scheduler: Any) -> list[int]:
    """Return the epochs at which an ASHA scheduler of Ray compares trials.

    Raises:
        JobError: if this version of Ray keeps them elsewhere.
    """
    with _explained("AsyncHyperBandScheduler._brackets"):
        brackets = scheduler._brackets
        return sorted({math.ceil(epoch) for bracket in brackets for epoch, _ in bracket._rungs})


@dataclass(frozen=True)
class TunerSettings:
    """The settings that a tuner was built with."""

    tune_config: TuneConfig
    run_config: RunConfig
    space: Any


def settings_of(tuner: Tuner) -> TunerSettings:
    """Return what a tuner was built with; the run config may still be changed.

    Raises:
        JobError: if this version of Ray keeps it elsewhere.
    """
    with _explained("Tuner._local_tuner"):
        inner = tuner._local_tuner
        return TunerSettings(inner._tune_config, inner.get_run_config(), inner.param_space)


def restore_from(trial: Trial, checkpoint: Checkpoint, metrics: Mapping[str, Any]) -> None:
    """Let a trial start from a checkpoint.

    Tune has this for ``tune.run(restore=...)`` only, and without the epoch.
    """
    trial._restore_checkpoint_result = find(TRAINING_RESULT)(
        checkpoint=checkpoint, metrics=dict(metrics)
    )


def trials_with_worker(controller: Any) -> Collection[Trial]:
    """Return the trials that have a worker, or wait for one that starts for them.

    Raises:
        JobError: if this version of Ray keeps them elsewhere.
    """
    with _explained("TuneController._trial_to_actor"):
        found: Collection[Trial] = controller._trial_to_actor
        return found


def revealed(manager: Any, stand_in: type[Any], *, doomed_only: bool) -> list[Any]:
    """Replace stand-ins among the actors of Tune's manager by the workers behind them.

    Args:
        manager: of actors.
        stand_in: the class of the stand-ins, which have a ``worker``.
        doomed_only: whether to replace only those that are about to be killed.

    Returns:
        The stand-ins that were replaced.
    """
    live, found = manager._live_actors_to_ray_actors_resources, list[Any]()
    for tracked in manager._live_actors_to_kill if doomed_only else list(live):
        actor, resources = live[tracked]
        if isinstance(actor, stand_in):
            live[tracked] = (actor.worker, resources)
            found.append(actor)
    return found


def upload_limit() -> int:
    """Return the bytes that a cluster takes at most; Ray's warning names more (ray#55877)."""
    return int(find(UPLOAD_LIMIT))


def walk_upload(
    folder: Path,
    excludes: Sequence[str],
    note: Callable[[Path], None],
    *,
    use_gitignore: bool,
    skip: Callable[[Path], bool] | None = None,
) -> None:
    """Call ``note`` with each path that Ray would upload from a folder.

    Args:
        folder: what is uploaded.
        excludes: patterns to leave out, in addition to Ray's own.
        note: called with each file and folder.
        use_gitignore: whether .gitignore files count.
        skip: called with each path; whether to leave it out, too.
    """
    patterns = [*find(UPLOAD_EXCLUDES)(), *excludes]
    matchers = [find(UPLOAD_MATCHER)(folder, patterns), *([skip] if skip else [])]
    find(UPLOAD_WALK)(folder, matchers, note, include_gitignore=use_gitignore, logger=_Silent)


class _Silent:
    """A logger for Ray, which announces every ignore file in every folder."""

    info = error = staticmethod(lambda *_: None)


def cluster_version(client: Any) -> str:
    """Return the version of Ray that a cluster runs, asked through its Jobs API."""
    with _explained("JobSubmissionClient._do_request"):
        request = client._do_request
    return str(request("GET", "/api/version").json()["ray_version"])


def prepare_cluster_file(content: dict[str, Any]) -> dict[str, Any]:
    """Fill in what a ``ray up`` file leaves out, as Ray does."""
    prepared: dict[str, Any] = find(PREPARE_CLUSTER_FILE)(content)
    return prepared


def validate_cluster_file(content: dict[str, Any]) -> None:
    """Let Ray refuse a ``ray up`` file; it raises what it raises."""
    find(VALIDATE_CLUSTER_FILE)(content)


def _owner_of(place: str) -> tuple[Any, str]:
    """Return the class or module that a place lies in, and the name there."""
    find(place)
    module, _, names = place.partition(":")
    *outer, name = names.split(".")
    owner = find(f"{module}:{'.'.join(outer)}") if outer else import_module(module)
    return owner, name


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Say in one line that this version of Ray lacks something.

    Raises:
        JobError: if the block looks up what is not there.
    """
    try:
        yield
    except (ImportError, AttributeError):
        import ray

        raise JobError(
            f"Ray {ray.__version__} has no {place.replace(':', '.')}, which tune-jobs relies on; "
            f"install the version that it was tested with: pip install 'ray[tune]=={TESTED}.*'"
        ) from None
