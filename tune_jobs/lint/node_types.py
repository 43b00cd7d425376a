"""Rules of a `ray up` file's provider and node types, which Ray takes as they come."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tune_jobs.engine.names import nearest
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, Keys, dotted

TYPES = "available_node_types"
GPU_MACHINES = {
    "aws": ("InstanceType", re.compile(r"(p|g|gr)\d")),
    "gcp": ("machineType", re.compile(r"(a[2-9]|g[2-9])-")),
}


def check_node_types(document: Document) -> Iterator[Finding]:
    """Keys that the cloud does not know, numbers that contradict each other, and a costly head."""
    yield from _check_provider(document)
    for name in document.mapping(TYPES):
        yield from _check_node_config(document, name)
        yield from _check_numbers(document, name)
    yield from _check_head(document)
    if provider_of(document) != "local" and "min_workers" in document.content:
        yield document.finding(
            f"min_workers is {document.content['min_workers']!r}, but Ray drops it here: say it "
            f"in each of {TYPES}",
            "min_workers",
        )


def provider_of(document: Document) -> str:
    """The provider's type: ``aws``, ``gcp``, ``local``, ..."""
    return str(document.mapping("provider").get("type"))


def has_gpus(document: Document, name: str) -> bool:
    """Whether machines of a node type have GPUs, as far as the file tells."""
    if document.mapping(TYPES, name, "resources").get("GPU"):
        return True
    node_config = document.mapping(TYPES, name, "node_config")
    key, pattern = GPU_MACHINES.get(provider_of(document), ("", re.compile("$.")))
    machine = str(node_config.get(key, "")).rsplit("/", 1)[-1]
    return bool(node_config.get("guestAccelerators") or pattern.match(machine))


@cache
def _known() -> dict[str, Any]:
    """The keys that providers and clouds know; where they are from is said in the file."""
    text = Path(__file__).with_name("providers.json").read_text(encoding="utf-8")
    known: dict[str, Any] = json.loads(text)
    return known


def _check_provider(document: Document) -> Iterator[Finding]:
    known = _known()["types"].get(provider_of(document))
    if known is None:
        return
    there = document.mapping("provider")
    keys = dict.fromkeys([*_known()["any"], *known["provider"]])
    yield from _check_keys(document, there, keys, ("provider",))
    for key in known["required"]:
        if not there.get(key):
            yield document.finding(f"provider must have {key} for {there['type']}", "provider")


def _check_node_config(document: Document, name: str) -> Iterator[Finding]:
    node_config = document.mapping(TYPES, name, "node_config")
    known = _known()["types"].get(provider_of(document), {}).get("node_config")
    is_tpu = "acceleratorType" in node_config or "acceleratorConfig" in node_config
    if known is None or (is_tpu and "machineType" not in node_config):
        return
    keys: Keys = (TYPES, name, "node_config")
    yield from _check_keys(document, node_config, known, keys)
    if provider_of(document) == "aws" and not node_config.keys() & {"ImageId", "LaunchTemplate"}:
        yield document.finding(
            f"{dotted(keys)} names no ImageId: Ray's default is an Ubuntu 18.04 image of 2023, "
            "too old for TensorFlow's CUDA; name one with a driver of today",
            *keys,
        )


def _check_keys(document: Document, there: Any, known: Any, keys: Keys) -> Iterator[Finding]:
    """Unknown keys in a value, at any depth; ``known`` maps each key to those inside it or None."""
    if isinstance(there, list):
        for at, each in enumerate(there):
            yield from _check_keys(document, each, known, (*keys, at))
    if not isinstance(there, dict) or known is None:
        return
    for key, value in there.items():
        if key in known:
            yield from _check_keys(document, value, known[key], (*keys, key))
        else:
            text = f"unknown key {dotted((*keys, key))!r}{nearest(str(key), known)}"
            rule = f" {provider_of(document)} knows no such key, and Ray does not look"
            yield document.finding(text + rule, *keys, key)


def _check_numbers(document: Document, name: str) -> Iterator[Finding]:
    node_type = document.mapping(TYPES, name)
    least, most = node_type.get("min_workers", 0), node_type.get("max_workers")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield document.finding(
            f"{TYPES}.{name}: min_workers is {least}, but must be <= max_workers, which is {most}",
            *(TYPES, name, "min_workers"),
        )


def _check_head(document: Document) -> Iterator[Finding]:
    name = document.content.get("head_node_type")
    if not isinstance(name, str):
        return
    if has_gpus(document, name):
        yield document.finding(
            f"head_node_type is {name!r}, a type with GPUs, paid for as long as the cluster lives; "
            "take one without, and GPUs in workers that come and go",
            "head_node_type",
        )
    spot = _find_spot(document, name)
    if spot:
        yield document.finding(
            f"{dotted(spot)} puts the head on spot: the whole cluster ends when it is taken away; "
            "only workers can be",
            *spot,
        )


def _find_spot(document: Document, name: str) -> Keys | None:
    """Where a node type is said to be on spot."""
    keys = (TYPES, name, "node_config")
    market = document.mapping(*keys, "InstanceMarketOptions")
    if market.get("MarketType") == "spot":
        return (*keys, "InstanceMarketOptions", "MarketType")
    there = document.mapping(*keys).get("scheduling")
    for scheduling in there if isinstance(there, list) else [there]:
        if isinstance(scheduling, dict) and scheduling.get("preemptible"):
            return (*keys, "scheduling")
        if isinstance(scheduling, dict) and scheduling.get("provisioningModel") == "SPOT":
            return (*keys, "scheduling")
    return None
