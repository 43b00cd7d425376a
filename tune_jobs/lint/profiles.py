"""Lint of profiles: what loading one refuses, with its line, and what a cluster needs."""

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
from tune_jobs.lint.located import Keys
from tune_jobs.lint.parts import Part

KNOWN = tuple(entry.name for entry in fields(Profile))
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def lint_profile(whole: Part) -> Iterator[Finding]:
    """Yield the mistakes in a profile."""
    yield from whole.document.repetitions()
    sound: dict[str, Any] = {}
    for key, value in whole.mapping().items():
        mistakes = [*_check_key(whole, key, value)]
        yield from mistakes
        if not mistakes:
            sound[key] = value
    if "storage" in whole.mapping():
        sound.setdefault("storage", "/")  # a wrong one is reported already
    at = "storage" if "storage" in whole.mapping() else "address"
    refusals = [*_refusals(whole, sound, (at,))]
    yield from refusals or _check_place(whole, Profile(**sound))


def _check_key(whole: Part, key: str, value: Any) -> Iterator[Finding]:
    """Check one key, whatever the others say."""
    if key not in KNOWN:
        text = f"unknown key {key!r}{nearest(str(key), KNOWN)} Known: {', '.join(KNOWN)}"
        yield whole.finding(text, key)
    elif key == "env" and isinstance(value, dict):
        for name, text in value.items():
            yield from _refusals(whole, {key: {name: text}}, (key, name))
    else:
        yield from _refusals(whole, {"storage": "/", key: value}, (key,))


def _refusals(whole: Part, content: dict[str, Any], keys: Keys) -> Iterator[Finding]:
    """Yield what `Profile` refuses in a content, at a place."""
    try:
        Profile(**content)
        check_without_secrets(content.get("storage", ""))
    except JobError as error:
        yield whole.finding(str(error), *keys)


def _check_place(whole: Part, profile: Profile) -> Iterator[Finding]:
    """Check what a cluster needs of a profile, and what only a cluster has."""
    if profile.address == "local":
        for key in ("jobs_api", "token_file"):
            if value := getattr(profile, key):
                text = f"{key} is {value!r}, but address is 'local': set address: auto, or drop it"
                yield whole.finding(text, key)
        return
    if profile.max_concurrent_trials is None:
        yield whole.finding(
            f"max_concurrent_trials is missing, but address is {profile.address!r}: only as many "
            "trials run as fit the present nodes, and an autoscaler starts no more",
            "address",
        )
    yield from _check_access(whole, profile)


def _check_access(whole: Part, profile: Profile) -> Iterator[Finding]:
    if profile.jobs_api and not profile.token_file:
        yield whole.finding(
            f"jobs_api is {profile.jobs_api!r} without a token_file: whoever reaches it can run "
            "any code; start the cluster with RAY_AUTH_MODE=token, and name its token's file",
            "jobs_api",
        )
    url = urlsplit(profile.jobs_api or "")
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        yield whole.finding(
            f"jobs_api is {profile.jobs_api!r}: plain http sends the token in clear; use https, "
            "or http://127.0.0.1 at the end of a tunnel",
            "jobs_api",
        )
    if profile.token_file and Path(profile.token_file).expanduser().exists():
        try:
            read_token(profile.token_file)
        except JobError as error:
            yield whole.finding(str(error), "token_file")
