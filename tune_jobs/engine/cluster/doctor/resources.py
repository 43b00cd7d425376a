"""Room: whether one trial fits on a node, and how many do at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tune_jobs.engine.cluster.capacity import (
    UNBOUNDED,
    Autoscaler,
    Node,
    trials_at_once,
    trials_on,
    trials_with_all,
)
from tune_jobs.engine.cluster.doctor.check import Check
from tune_jobs.engine.formatting import count, listed
from tune_jobs.engine.job.profile import Profile

NAME = "room"


def check_room(profile: Profile, nodes: Sequence[Node], autoscaler: Autoscaler) -> Iterator[Check]:
    """Check that a trial fits, how many do at once, and that the profile limits them."""
    wanted = profile.resources
    if autoscaler.problem:
        yield Check(
            NAME,
            "warning",
            f"the autoscaler's node types cannot be read: {autoscaler.problem}; only running nodes "
            "are counted",
        )
    if fault := _find_fault(profile, nodes, autoscaler):
        yield fault
        return
    now, later = trials_at_once(nodes, wanted), trials_with_all(nodes, autoscaler, wanted)
    yield Check(NAME, "ok", f"{_demand(profile)} fits {_say_where(profile, nodes, autoscaler)}")
    yield Check(NAME, "ok", f"in parallel: {_say_count(profile, now, later)}")
    if profile.address != "local" and profile.max_concurrent_trials is None:
        yield _miss_limit(now, later)


def check_free(profile: Profile, nodes: Sequence[Node], free: Sequence[Node]) -> Iterator[Check]:
    """Warn if other jobs hold resources that the trials would need."""
    total = trials_at_once(nodes, profile.resources)
    now = min(total, trials_at_once(free, profile.resources))
    if now < total:
        yield Check(
            NAME,
            "warning",
            f"{now:,} of the {count(total, 'trial')} that fit could start now: other jobs use the "
            "rest, and trials wait for it (see ray status)",
        )


def _find_fault(profile: Profile, nodes: Sequence[Node], autoscaler: Autoscaler) -> Check | None:
    if trials_with_all(nodes, autoscaler, profile.resources):
        return None
    shapes = dict.fromkeys(
        [_shape(node.resources) for node in nodes if node.resources.get("CPU")]
        + [f"{_shape(kind.resources)} ({kind.name})" for kind in autoscaler.types if kind.most]
    )
    has = f"the nodes have {listed(list(shapes))}" if shapes else "the head is the only node"
    if autoscaler.problem:
        text = f"does not fit on any running node: {has}; trials wait until a larger node starts"
        return Check(NAME, "warning", f"{_demand(profile)} {text}")
    return Check(
        NAME,
        "failure",
        f"{_demand(profile)} does not fit on any node: {has}; lower cpus_per_trial or "
        "gpus_per_trial, or add a larger node",
    )


def _say_where(profile: Profile, nodes: Sequence[Node], autoscaler: Autoscaler) -> str:
    wanted = profile.resources
    fitting = [node.label for node in nodes if trials_on(node.resources, wanted)]
    if profile.address == "local":
        return "on this machine"
    if fitting:
        return f"on {len(fitting)} of {count(len(nodes), 'node')}: {listed(fitting)}"
    types = [
        kind.name for kind in autoscaler.types if kind.most and trials_on(kind.resources, wanted)
    ]
    return f"on nodes that the autoscaler can start: {listed(types)}"


def _say_count(profile: Profile, now: int, later: int) -> str:
    more = "any number" if later >= UNBOUNDED else f"{later:,}"
    growth = f", {more} with all nodes that the autoscaler can start" if later > now else ""
    limit = profile.max_concurrent_trials
    bound = f"; max_concurrent_trials is {limit}" if limit is not None else ""
    return f"{count(now, 'trial')}{growth}{bound}"


def _miss_limit(now: int, later: int) -> Check:
    """Report a missing limit: Tune asks an autoscaler for no more trials than it wants to run."""
    unset = "max_concurrent_trials is not set in the profile"
    if later == now:
        return Check(NAME, "warning", f"{unset}: {now} is used, since that many fit now")
    most = "the number you want" if later >= UNBOUNDED else f"at most {later:,}"
    text = f"{unset}, so the cluster would not grow beyond {now}; set it to {most}"
    return Check(NAME, "failure", text)


def _demand(profile: Profile) -> str:
    return f"a trial of {_size(profile.cpus_per_trial, profile.gpus_per_trial)}"


def _shape(resources: Mapping[str, float]) -> str:
    return _size(resources.get("CPU", 0), resources.get("GPU", 0))


def _size(cpus: float, gpus: float) -> str:
    names = [(cpus, "CPU"), (gpus, "GPU")]
    return " and ".join(f"{amount:g} {unit}{'' if amount == 1 else 's'}" for amount, unit in names)
