"""Lint of profiles: what loading one refuses, with its line, and what a cluster needs besides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tune_jobs.engine.cluster.tokens import read_token
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.names import nearest
from tune_jobs.engine.storage.uris import check_without_secrets
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, Keys, check_one_document

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def lint_profile(path: str | Path) -> list[Finding]:
    """All mistakes in a profile.

    Raises:
        NotYamlError: where it is no YAML.
        JobError: where it cannot be read.
    """
    return check_one_document(path, _check, "a profile")


def _check(document: Document) -> Iterator[Finding]:
    if not isinstance(document.content, dict):
        yield document.finding(f"holds {document.content!r}, but must map keys to values")
        return
    yield from document.repetitions()
    sound: dict[str, Any] = {}
    for key, value in document.content.items():
        wrong = [*_check_key(document, key, value)]
        yield from wrong
        if not wrong:
            sound[key] = value
    if "storage" in document.content:
        sound.setdefault("storage", "/")  # one that is wrong has been told of
    at = "storage" if "storage" in document.content else "address"
    refusals = [*_refusals(document, sound, (at,))]
    yield from refusals or _check_place(document, Profile(**sound))


def _check_key(document: Document, key: str, value: Any) -> Iterator[Finding]:
    """What is wrong with one key, whatever the others say."""
    known = [entry.name for entry in fields(Profile)]
    if key not in known:
        text = f"unknown key {key!r}{nearest(str(key), known)} Known: {', '.join(known)}"
        yield document.finding(text, key)
        return
    if key == "env" and isinstance(value, dict):
        for name, text in value.items():
            yield from _refusals(document, {key: {name: text}}, (key, name))
    else:
        yield from _refusals(document, {"storage": "/", key: value}, (key,))


def _refusals(document: Document, content: dict[str, Any], keys: Keys) -> Iterator[Finding]:
    """What `Profile` says of a content, and where."""
    try:
        Profile(**content)
        check_without_secrets(content.get("storage", ""))
    except JobError as error:
        yield document.finding(str(error), *keys)


def _check_place(document: Document, profile: Profile) -> Iterator[Finding]:
    """What a cluster needs of a profile, and what only a cluster has."""
    if profile.address == "local":
        for key in ("jobs_api", "token_file"):
            if getattr(profile, key):
                yield document.finding(
                    f"{key} is {getattr(profile, key)!r}, but address is 'local', a Ray without "
                    "one; say address: auto, or leave it out",
                    key,
                )
        return
    if profile.max_concurrent_trials is None:
        yield document.finding(
            f"max_concurrent_trials is not set, but address is {profile.address!r}: then no "
            "more trials run than fit the nodes that are there, and an autoscaler starts no more",
            "address",
        )
    yield from _check_access(document, profile)


def _check_access(document: Document, profile: Profile) -> Iterator[Finding]:
    if profile.jobs_api and not profile.token_file:
        yield document.finding(
            f"jobs_api is {profile.jobs_api!r} without a token_file: whoever reaches it runs what "
            "they like; start the cluster with RAY_AUTH_MODE=token, and name its token's file",
            "jobs_api",
        )
    url = urlsplit(profile.jobs_api or "")
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        yield document.finding(
            f"jobs_api is {profile.jobs_api!r}: plain http carries the token in clear; give "
            "https, or http://127.0.0.1 at the end of a tunnel",
            "jobs_api",
        )
    if profile.token_file and Path(profile.token_file).expanduser().exists():
        try:
            read_token(profile.token_file)
        except JobError as error:
            yield document.finding(str(error), "token_file")
