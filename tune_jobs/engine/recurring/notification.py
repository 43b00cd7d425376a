"""Notifications: one is sent when the state of a series changes, and only then.

A run is ``ok`` or ``failed``, a retest has its verdict; a run that will be continued changes
nothing. The last state that was sent is kept with the series, so that a series of failing nights is
reported once, and so is the first good one after it. A notification that cannot be sent is a
warning in the log and is tried again at the next run; it never makes a run fail.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.plain import plain
from tune_jobs.engine.storage.folder import Folder

logger = logging.getLogger(__name__)

STATE = "told.json"
PATIENCE = 10.0  # seconds until a receiver counts as not answering

# What exit codes say of a series; with others, such as "budget used", a run will be continued.
OK, FAILED = (0, 3), (1, 2, 4, 5, 8, 9)

Send = Callable[[str, Mapping[str, object]], None]


def check_targets(targets: Sequence[str]) -> None:
    """Refuse targets that cannot be notified, before a run rather than after it.

    Raises:
        JobError: naming the target by its number, since it may hold a secret.
    """
    for number, target in enumerate(targets, 1):
        _sender(target, number)


def state_of(exit_code: int, verdict: str | None = None) -> str | None:
    """Return the state of a series after a run; None if the exit code says nothing about it."""
    if exit_code in FAILED:
        return "failed"
    if exit_code not in OK:
        return None
    return "ok" if verdict in (None, "keep") else verdict


@contextmanager
def telling(
    find_series: Callable[[], Folder],
    targets: Sequence[str],
    find_name: Callable[[], str] | None = None,
) -> Iterator[Callable[[int, str, Mapping[str, object]], None]]:
    """Notify the targets of how a run ends, if that is news.

    Args:
        find_series: finds the folder of the series; if it cannot, everything is news.
        targets: URLs of webhooks, or whatever else apprise supports.
        find_name: finds the name of a run that has no experiment yet.

    Yields:
        A function to call with the exit code, a line and more facts. If an exception ends the block
        before that, the exception is reported.
    """
    check_targets(targets)

    def tell(exit_code: int, text: str, facts: Mapping[str, object]) -> None:
        if targets:
            _tell_change(find_series, targets, exit_code, text, facts)

    try:
        yield tell
    except Exception as error:
        code = error.exit_code if isinstance(error, JobError) else 1
        if code:  # a skipped run says nothing about its series
            kind = "" if isinstance(error, JobError) else f"{type(error).__name__}: "
            tell(code, f"{kind}{reason_of(error)}", _named(find_name))
        raise


def _named(find_name: Callable[[], str] | None) -> dict[str, str]:
    try:
        return {"name": find_name()} if find_name else {}
    except JobError:  # what is wrong with it is reported
        return {}


def _tell_change(
    find_series: Callable[[], Folder],
    targets: Sequence[str],
    exit_code: int,
    text: str,
    facts: Mapping[str, object],
) -> None:
    """Send a new state, and remember it once one target has accepted it."""
    verdict = facts.get("verdict")
    state = state_of(exit_code, None if verdict is None else str(verdict))
    if state is None:
        return
    try:
        series: Folder | None = find_series()
    except Exception:  # noqa: BLE001  # what is wrong with it is reported
        series = None
    before = series.read_object(STATE).get("state") if series else None
    if state == before or (before is None and state == "ok"):
        _remember(series, state)
        return
    event = "recovered" if state == "ok" else state
    content = {"event": event, "before": before, "exit_code": exit_code, "time": time.time()}
    name = facts.get("name") or (series.name if series else "tune-jobs")
    message = {**facts, **content, "name": name, "text": f"{name} {event}: {text}"}
    if _send(targets, f"tune-jobs: {name} {event}", message):
        _remember(series, state)


def _send(targets: Sequence[str], title: str, message: Mapping[str, object]) -> bool:
    """Send to all targets; return whether one of them accepted it."""
    taken = 0
    for number, target in enumerate(targets, 1):
        try:
            _sender(target, number)(title, message)
            taken += 1
        except Exception as error:  # noqa: BLE001  # the run does not depend on it
            logger.warning(f"notification {number} was not sent: {_said_by(error)}")
    return taken > 0


def _said_by(error: Exception) -> str:
    """Say what went wrong, without the target, which may hold a secret."""
    detail = getattr(error, "code", None) or getattr(error, "reason", None)
    detail = getattr(detail, "strerror", detail)
    return f"{type(error).__name__}{f': {detail}' if detail else ''}"


def _sender(target: str, number: int) -> Send:
    """Return what sends to a target: our own for a plain webhook, apprise for others."""
    try:
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise JobError(f"--notify {number} is not a URL: {error}") from None
    if scheme in ("http", "https"):
        return lambda _, message: _post(target, message)
    try:
        import apprise
    except ModuleNotFoundError:
        raise JobError(
            f"--notify {number} is not an http or https URL ({scheme or 'no scheme'}); other URLs "
            "need Apprise: pip install 'tune-jobs[notify]'"
        ) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would log the URL
    receiver = apprise.Apprise()
    if not receiver.add(target):
        raise JobError(f"--notify {number} ({scheme or 'no scheme'}) is not an Apprise URL")

    def send(title: str, message: Mapping[str, object]) -> None:
        if not receiver.notify(title=title, body=str(message["text"])):
            raise OSError("Apprise could not deliver it")

    return send


def _post(url: str, message: Mapping[str, object]) -> None:
    """Post JSON whose ``text`` is what chats show."""
    request = urllib.request.Request(
        url,
        json.dumps(plain(dict(message))).encode(),
        {"Content-Type": "application/json", "User-Agent": "tune-jobs"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE):
        pass


def _remember(series: Folder | None, state: str) -> None:
    try:
        if series is not None:
            series.create()
            series.write_json(STATE, {"state": state, "time": time.time()})
    except (OSError, JobError) as error:
        logger.warning(f"the state of the series cannot be saved: {reason_of(error)}")
