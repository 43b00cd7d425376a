"""A Ray cluster of several nodes on this machine, in a process of its own.

Reads one JSON object a line and answers with another: ``{"add": {...}}`` starts a node, the head
first, ``{"remove": id}`` ends one in good order and ``{"kill": id}`` without a word; the end of its
input ends the cluster.
"""

import json
import sys
from typing import Any

from ray.cluster_utils import Cluster


def main() -> None:
    cluster, nodes = Cluster(), {}
    try:
        for line in sys.stdin:
            print(json.dumps(answer(cluster, nodes, json.loads(line))), flush=True)
    finally:
        cluster.shutdown()


def answer(cluster: Cluster, nodes: dict[str, Any], request: dict[str, Any]) -> dict[str, str]:
    for how in ("kill", "remove"):
        if how in request:
            cluster.remove_node(nodes.pop(request[how]), allow_graceful=how == "remove")
            return {}
    node = cluster.add_node(include_dashboard=False, **request["add"])
    nodes[node.node_id] = node
    return {"node": node.node_id, "address": cluster.address}


if __name__ == "__main__":
    main()
