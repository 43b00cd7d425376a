"""Credentials in texts: recognised by the names of their parameters, and hidden in messages."""

from __future__ import annotations

import re

# In the names of parameters of a URI.
SECRET = re.compile(
    r"secret|token|passw|pwd|credential|api_?key|access_?key|account_?key|signature|^sig$|^sas",
    re.IGNORECASE,
)
PARAMETER = re.compile(r"(?<=[?&;])([\w.%-]+)=([^&;\s'\"]+)")
USER = re.compile(r"(?<=:/)/?[^/?\s'\"]*:[^/?\s'\"]*@")


def hide_credentials(text: str) -> str:
    """Replace passwords and keys of URIs in a text by ``***``."""
    if "=" not in text and "@" not in text:
        return text
    return PARAMETER.sub(_hide_value, USER.sub("/***@", text))


def _hide_value(found: re.Match[str]) -> str:
    return f"{found[1]}=***" if SECRET.search(found[1]) else found[0]
