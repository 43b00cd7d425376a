"""Rules of the images of a Ray cluster's groups: one Ray, one Python, on all nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tune_jobs.lint.findings import Finding
from tune_jobs.lint.parts import Part

TAG = re.compile(r":(?P<tag>[\w.-]+)(@sha256:[0-9a-f]+)?$")
RAY = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])")
PYTHON = re.compile(r"(?<![a-z])py(?P<major>3)(?P<minor>\d\d)(?!\d)")
DEAD = "rayproject/ray-ml"


def image_findings(spec: Part, versions: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the images and the ``rayVersion`` of a RayClusterSpec.

    Args:
        spec: the RayClusterSpec.
        versions: those that all nodes need, by package.
    """
    locked = versions.get("ray")
    stated = spec.get("rayVersion")
    if stated is None:
        yield spec.finding("rayVersion is missing: token authentication needs it to be stated")
    elif locked and stated != locked:
        yield spec.finding(
            f"rayVersion is {stated!r}, but requirements.lock has ray {locked}", "rayVersion"
        )
    pythons: dict[str, Part] = {}
    for container in ray_containers(spec):
        image = container.get("image")
        if not isinstance(image, str):
            yield container.finding("the Ray container has no image")
            continue
        yield from _image(container, image, str(stated or locked or ""))
        if python := PYTHON.search(image):
            pythons.setdefault(python[0], container)
    if len(pythons) > 1:
        first, *others = pythons
        for other in others:
            yield pythons[other].finding(
                f"image {pythons[other].get('image')!r} has Python {_dotted(other)}, but "
                f"{pythons[first].get('image')!r} has {_dotted(first)}: all nodes need the same",
                "image",
            )


def ray_containers(spec: Part) -> list[Part]:
    """The first container of each group, which is the one that runs Ray."""
    groups = [spec.part("headGroupSpec"), *spec.parts("workerGroupSpecs")]
    lists = [group.parts("template", "spec", "containers") for group in groups]
    return [containers[0] for containers in lists if containers]


def _image(container: Part, image: str, ray: str) -> Iterator[Finding]:
    if DEAD in image:
        yield container.finding(
            f"image {image!r}: {DEAD} images ended with Ray 2.30; build one from "
            "rayproject/ray, as cluster/Dockerfile does",
            "image",
        )
        return
    tag = TAG.search(image)
    found = RAY.search(tag["tag"]) if tag else None
    if not found:
        yield container.finding(
            f"image {image!r} does not say which Ray it has; tag it like tune-jobs:{ray}-py311",
            "image",
        )
    elif ray and found[0] != ray:
        yield container.finding(
            f"image {image!r} has Ray {found[0]}, but the cluster's is {ray}", "image"
        )
    if found and not PYTHON.search(image):
        yield container.finding(
            f"image {image!r} does not say which Python it has; tag it like {found[0]}-py311",
            "image",
        )


def _dotted(python: str) -> str:
    return f"{python[2]}.{python[3:]}"
