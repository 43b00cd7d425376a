"""Rules of secrets: they stand in no file, no environment that is written out, no argument."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tune_jobs.lint.findings import Finding
from tune_jobs.lint.parts import Part

SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL")
ABOUT = ("_PATH", "_FILE", "_NAME", "_MODE", "_DIR", "_AUTH")  # says where or how, not what


def is_secret(name: str) -> bool:
    """Whether an environment variable's name says that its value is a secret."""
    return bool(SECRET.search(name.upper())) and not name.upper().endswith(ABOUT)


def secret_findings(resource: Part) -> Iterator[Finding]:
    """Secrets that stand in a manifest itself."""
    if resource.get("kind") == "Secret":
        for field in ("data", "stringData"):
            for key, value in resource.mapping(field).items():
                if value:
                    yield resource.finding(
                        f"the value of {key!r} stands in a file; create the Secret with "
                        "`kubectl create secret generic`",
                        *(field, key),
                    )
    for env in resource.within("env"):
        for variable in env.parts():
            name, value = variable.text("name"), variable.get("value")
            if value and is_secret(name):
                yield variable.finding(
                    f"{name} is a secret, and must come from a Secret (valueFrom.secretKeyRef)",
                    "value",
                )
