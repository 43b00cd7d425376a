"""Container images that a `ray up` file names, and what their tags promise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, Keys, dotted
from tune_jobs.lint.node_types import TYPES
from tune_jobs.lint.versions import LOCK, read_versions

KEYS = ("image", "head_image", "worker_image")
RAY_TAG = re.compile(r"(?P<ray>\d+\.\d+\.\d+)-py(?P<major>\d)(?P<minor>\d+)(-.*)?")


@dataclass(frozen=True)
class Image:
    """An image, as it is named.

    Attributes:
        name: without tag and digest.
        tag: empty where there is none.
        digest: empty where there is none.
        keys: where it stands.
    """

    name: str
    tag: str
    digest: str
    keys: Keys

    @property
    def repository(self) -> str:
        """The name without the host that it is pulled from."""
        host, _, rest = self.name.partition("/")
        return rest if "." in host or ":" in host else self.name

    @property
    def is_ray(self) -> bool:
        """Whether it is Ray's own, which holds no TensorFlow; others hold what they like."""
        return self.repository == "rayproject/ray"

    @property
    def is_dead(self) -> bool:
        """Whether it is the one that ended with Ray 2.30."""
        return self.repository == "rayproject/ray-ml"

    @property
    def python(self) -> str | None:
        """The Python that the tag of Ray's image promises."""
        match = RAY_TAG.fullmatch(self.tag) if self.is_ray else None
        return f"{match['major']}.{match['minor']}" if match else None


def find_images(document: Document) -> list[Image]:
    """All images that a file names, for all nodes and for node types."""
    places = [("docker",), *((TYPES, str(name), "docker") for name in document.mapping(TYPES))]
    return [
        parse_image(text, (*place, key))
        for place in places
        for key, text in document.mapping(*place).items()
        if key in KEYS and isinstance(text, str) and text
    ]


def parse_image(text: str, keys: Keys = ()) -> Image:
    """The parts of an image's name: ``registry:5000/name:tag@sha256:...``."""
    rest, _, digest = text.partition("@")
    folder, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    return Image(folder + slash + name, tag, digest, keys)


def check_images(document: Document) -> Iterator[Finding]:
    """Images that are dead, may change under their name, or hold another Ray."""
    version = read_versions(document.path).get("ray")
    for image in find_images(document):
        place = f"{dotted(image.keys)} is {image.name}:{image.tag}".removesuffix(":")
        match = RAY_TAG.fullmatch(image.tag)
        if image.is_dead:
            text = f"{place}, which ends with Ray 2.30; take rayproject/ray"
            yield document.finding(text, *image.keys)
        elif image.is_ray and match is None:
            text = f"{place}, but must name Ray and Python: rayproject/ray:{version}-py311"
            yield document.finding(text, *image.keys)
        elif image.is_ray and match and match["ray"] != version:
            text = f"{place}, but all nodes need Ray {version}, the version in {LOCK}"
            yield document.finding(text, *image.keys)
        elif not image.digest and image.tag in ("", "latest"):
            text = f"{place}, which may be another one tomorrow; name a tag or a digest"
            yield document.finding(text, *image.keys)
