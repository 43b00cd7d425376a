"""The token of a cluster, read from a file that nobody else may read, and shown to nobody."""

from __future__ import annotations

import os
from pathlib import Path

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.ray_internals import reload_environment

# What Ray reads; whoever has set them has chosen a token already.
MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"

# The path that this process has set itself, for an earlier cluster.
_used: str | None = None


def find_token(token_file: str | None) -> str | None:
    """Find the token in a file, or in the environment if no file is given; None if neither has one.

    Raises:
        JobError: for a file that is not there, is empty, or may be read by others.
    """
    if token_file is not None:
        return read_token(token_file)
    if TOKEN in os.environ:
        return os.environ[TOKEN]
    if TOKEN_PATH in os.environ:
        return read_token(os.environ[TOKEN_PATH])
    return None


def read_token(token_file: str) -> str:
    """Read the token in a file.

    Raises:
        JobError: for a file that is not there, is empty, or may be read by others.
    """
    path = Path(token_file).expanduser()
    try:
        exposure, token = find_exposure(token_file), path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise JobError(f"token_file {token_file!r} cannot be read: {reason}") from None
    if exposure:
        raise JobError(f"token_file {token_file!r} {exposure}")
    if not token or len(token.split()) != 1:
        raise JobError(f"token_file {token_file!r} must contain one token and nothing else")
    return token


def find_exposure(token_file: str) -> str | None:
    """Say that others may read a token file; None if they may not."""
    mode = Path(token_file).expanduser().stat().st_mode & 0o777
    if not mode & 0o077:
        return None
    return f"has mode {mode:04o}, so other users can read it; run chmod 600 {token_file}"


def use_token(token_file: str | None) -> None:
    """Let this process join clusters with a profile's token, unless one was set from outside.

    A submitted job runs on the cluster: there Ray has set the token, and the file may be missing.

    Raises:
        JobError: for a file that is not there, is empty, or may be read by others.
    """
    global _used
    outside = TOKEN in os.environ or os.environ.get(TOKEN_PATH) != _used
    if token_file is None or outside:
        return
    read_token(token_file)
    _used = str(Path(token_file).expanduser().absolute())
    os.environ.update({MODE: "token", TOKEN_PATH: _used})
    reload_environment()
