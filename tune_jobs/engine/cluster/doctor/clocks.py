"""Clocks: each node writes its own time to the history, and S3 checks the time of each request."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from tune_jobs.engine.cluster.capacity import Node
from tune_jobs.engine.cluster.doctor.check import Check
from tune_jobs.engine.cluster.doctor.probe import clock
from tune_jobs.engine.cluster.node_tasks import NoAnswer, ask
from tune_jobs.engine.formatting import count

NAME = "clocks"
READINGS = 3

# Seconds. From 15 minutes on S3 refuses what a node signs, from 5 on Kerberos, and with it NFS; a
# clock that is so far off is not kept at all, and will be further off before the run ends.
TOLERABLE = 1.0
MOST = 300.0


def compare_clocks(nodes: Sequence[Node], limit: float) -> Iterator[Check]:
    """Compare each node's clock with this machine's; one line if all agree."""
    skews = [(node, *found) for node in nodes if (found := _read(node, limit))]
    bad = [check for node, skew, error in skews if (check := judge(node.label, skew, error))]
    if skews and not bad:
        worst = max(abs(skew) + error for _, skew, error in skews)
        text = f"at most {worst:.2g} s between here and {count(len(skews), 'node')}"
        bad = [Check(NAME, "ok", text)]
    yield from bad


def judge(label: str, skew: float, error: float) -> Check | None:
    """Judge a clock that is ``skew`` seconds ahead of this one, give or take ``error``."""
    if abs(skew) <= TOLERABLE + error:
        return None
    way = "ahead of" if skew > 0 else "behind"
    is_far = abs(skew) > MOST + error
    harm = (
        "S3 refuses requests that are 15 minutes off"
        if is_far
        else "times in the report are off by as much"
    )
    return Check(
        NAME,
        "failure" if is_far else "warning",
        f"the clock of {label} is {abs(skew):,.1f} s {way} this one (± {error:.2g} s): "
        f"{harm}; turn on time synchronisation there (timedatectl set-ntp true)",
    )


def _read(node: Node, limit: float) -> tuple[float, float] | None:
    """Return skew and half the round trip of the quickest of several readings."""
    readings = []
    for _ in range(READINGS):
        sent = time.time()
        answer = ask([node], clock, limit=limit)[node.id]
        received = time.time()
        if isinstance(answer, NoAnswer):
            return None
        readings.append((answer - (sent + received) / 2, (received - sent) / 2))
    return min(readings, key=lambda reading: reading[1])
