"""What a traceback says in one line."""

from __future__ import annotations

import re

EXCEPTION = re.compile(
    r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt|Exit|Warning)\w*)(?:: (.*))?$"
)


def cause(traceback: str) -> str:
    """The last exception named in a traceback: ``ValueError: units is -3``."""
    for line in reversed(traceback.splitlines()):
        if match := EXCEPTION.match(line.strip()):
            name, message = match.groups()
            return f"{name}: {message}" if message else name
    lines = [line.strip() for line in traceback.splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"
