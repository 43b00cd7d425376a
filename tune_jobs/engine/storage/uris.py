"""Paths and URIs as text: joining them, and refusing credentials in them."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode

from tune_jobs.engine.credentials import SECRET
from tune_jobs.engine.errors import JobError

# A scheme has two letters or more: one is a drive of Windows.
URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
HARMLESS_USERS = ("anonymous",)  # Google's word for nobody


def scheme_of(place: str) -> str | None:
    """Return ``s3`` of ``s3://bucket/results``; None for a plain path."""
    found = URI.match(place)
    return found.group(1) if found else None


def join(place: str, name: str) -> str:
    """Append ``name`` to a path or URI; a URI's query stays at its end."""
    if scheme_of(place) is None:
        return f"{place.rstrip('/')}/{name}"
    path, mark, query = place.partition("?")
    return f"{path.rstrip('/')}/{quote(name)}{mark}{query}"


def above(place: str) -> str:
    """Return a path or URI without the last part of its path."""
    path, mark, query = place.partition("?") if scheme_of(place) else (place, "", "")
    return f"{path.rpartition('/')[0]}{mark}{query}"


def path_of(place: str) -> str:
    """Return a path or URI without a URI's query."""
    return place.partition("?")[0] if scheme_of(place) else place


def without_last_slash(uri: str) -> str:
    """Return a URI without a slash at the end of its path."""
    path, mark, query = uri.partition("?")
    return f"{path if path.endswith('://') else path.rstrip('/')}{mark}{query}"


def with_defaults(uri: str, defaults: dict[str, str]) -> str:
    """Add to a URI's query the parameters that it does not set itself."""
    query = uri.partition("?")[2]
    given = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    more = urlencode({name: value for name, value in defaults.items() if name not in given})
    return uri + (f"{'&' if query else '?'}{more}" if more else "")


def check_without_secrets(uri: str) -> None:
    """Refuse credentials in a URI: it is shown, logged, and kept with the results.

    Raises:
        JobError: without repeating them.
    """
    scheme, _, rest = uri.partition("://")
    path, _, query = rest.partition("?")
    host = path.split("/")[0]
    user, at, _ = path.rpartition("@")
    is_user_secret = scheme.startswith("s3") and "@" in host and user not in HARMLESS_USERS
    if is_user_secret or (at and ":" in user):
        raise JobError(f"the storage URI ({scheme}://) contains credentials before '@'; {_ADVICE}")
    for name, value in parse_qsl(query, keep_blank_values=True):
        if SECRET.search(name):
            raise JobError(
                f"the storage URI ({scheme}://) contains credentials in its query ({name}=...); "
                + _ADVICE
            )
        if "@" in unquote(value):
            raise JobError(
                f"the storage URI ({scheme}://) contains '@' in its query, as credentials do; "
                + _ADVICE
            )


_ADVICE = (
    "they would appear in logs and results: leave them out, and give them to driver and workers "
    "in the environment, a credentials file or the machine's role"
)
