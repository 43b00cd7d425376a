"""Start Ray's fake nodes as slowly as a cloud starts machines; Ray loads this module."""

from __future__ import annotations

import time
from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider


class SlowNodes(FakeMultiNodeProvider):  # type: ignore[misc]  # Ray calls it
    """Nodes that are requested together start together, ``boot_seconds`` later."""

    def create_node_with_resources_and_labels(self, *wanted: Any) -> None:
        """Wait, then start the processes."""
        time.sleep(self.provider_config["boot_seconds"])
        super().create_node_with_resources_and_labels(*wanted)
