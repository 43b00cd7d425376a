"""Rules of the commands that start Ray on the nodes of a `ray up` file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import Document, Keys, dotted
from tune_jobs.lint.node_types import provider_of

HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"
SETUPS = ("setup_commands", "head_setup_commands", "worker_setup_commands")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
OPEN_DASHBOARD = ("aws", "gcp", "azure")  # whose default head command binds it to 0.0.0.0
OPERATORS = re.compile(r"[;&|()<>\n]+")


@dataclass(frozen=True)
class Command:
    """One entry of a list of shell commands: a line or more.

    Attributes:
        text: as the shell gets it.
        keys: where it stands.
    """

    text: str
    keys: Keys

    def parts(self) -> list[list[str]]:
        """The words of each command in it, without the operators between them.

        Raises:
            ValueError: for a quotation that does not end.
        """
        lexer = shlex.shlex(self.text.replace("\n", " ; "), posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        parts: list[list[str]] = [[]]
        for word in lexer:
            if OPERATORS.fullmatch(word):
                parts.append([])
            else:
                parts[-1].append(word)
        return [part for part in parts if part]


def commands_of(document: Document, *keys: str) -> list[Command]:
    """The commands in a list of them; none where there is no such list."""
    there = document.mapping(*keys[:-1]).get(keys[-1])
    if not isinstance(there, list):
        return []
    return [Command(text, (*keys, at)) for at, text in enumerate(there) if isinstance(text, str)]


def check_commands(document: Document) -> Iterator[Finding]:
    """What keeps Ray's nodes apart, or open to everybody."""
    for key in (*SETUPS, HEAD, WORKER):
        yield from _check_quotations(document, key)
    yield from _check_head(document)
    yield from _check_worker(document)
    for key in (HEAD, WORKER):
        if key in document.content:
            yield from _check_token(document, key)


def _check_quotations(document: Document, key: str) -> Iterator[Finding]:
    for command in commands_of(document, key):
        try:
            command.parts()
        except ValueError as error:
            problem = str(error).lower()
            yield document.finding(
                f"{dotted(command.keys)}: no shell reads it: {problem}", *command.keys
            )


def _check_head(document: Document) -> Iterator[Finding]:
    if HEAD not in document.content:
        opens = (
            "binds the dashboard to 0.0.0.0 and " if provider_of(document) in OPEN_DASHBOARD else ""
        )
        yield document.finding(
            f"{HEAD} is absent, and Ray's default {opens}asks for no token; say it"
        )
        return
    start = _find_start(document, HEAD, "--head")
    if start is None:
        yield document.finding(f"{HEAD} must hold a `ray start --head`", HEAD)
        return
    if "--autoscaling-config" not in start.text:
        yield document.finding(
            f"{dotted(start.keys)}: `ray start --head` without "
            "--autoscaling-config=~/ray_bootstrap_config.yaml: no worker would ever start",
            *start.keys,
        )
    yield from _check_dashboard(document, start)


def _check_dashboard(document: Document, start: Command) -> Iterator[Finding]:
    host = re.search(r"--dashboard-host[= ]+['\"]?([^\s'\"]+)", start.text)
    if host is None:
        yield document.finding(
            f"{dotted(start.keys)}: `ray start --head` without --dashboard-host=127.0.0.1: say who "
            "may reach the dashboard, which runs what it is given",
            *start.keys,
        )
    elif host[1] not in LOOPBACK:
        yield document.finding(
            f"{dotted(start.keys)}: --dashboard-host is {host[1]}, but must be 127.0.0.1; "
            "`ray dashboard FILE` makes a tunnel to it",
            *start.keys,
        )


def _check_worker(document: Document) -> Iterator[Finding]:
    if WORKER not in document.content:
        yield document.finding(f"{WORKER} is absent, and Ray's default brings no token; say it")
        return
    start = _find_start(document, WORKER, "")
    if start is None:
        yield document.finding(f"{WORKER} must hold a `ray start`", WORKER)
    elif "--address" not in start.text:
        yield document.finding(
            f"{dotted(start.keys)}: `ray start` without --address=$RAY_HEAD_IP:6379 joins no head",
            *start.keys,
        )


def _check_token(document: Document, key: str) -> Iterator[Finding]:
    """Without a token whoever reaches a port of Ray runs what they like; 2.60 asks for none."""
    start = _find_start(document, key, "")
    if start is None:
        return
    text = _texts(document, key)
    if "RAY_AUTH_MODE=token" not in text:
        yield document.finding(
            f"{dotted(start.keys)}: `ray start` without RAY_AUTH_MODE=token lets everybody in who "
            "reaches a port; export it, and RAY_AUTH_TOKEN_PATH",
            *start.keys,
        )
    elif "RAY_AUTH_TOKEN_PATH=" not in text:
        yield document.finding(
            f"{dotted(start.keys)}: RAY_AUTH_MODE=token without RAY_AUTH_TOKEN_PATH takes whatever "
            "token the machine has; name the cluster's own file",
            *start.keys,
        )
    if re.search(r"\bRAY_AUTH_TOKEN=", start.text):
        yield document.finding(
            f"{dotted(start.keys)}: RAY_AUTH_TOKEN in a command shows in logs and process lists; "
            "name a file in RAY_AUTH_TOKEN_PATH",
            *start.keys,
        )


def token_paths(document: Document) -> set[str]:
    """Where the nodes have the cluster's token, ``$HOME`` written as ``~``."""
    text = _texts(document, HEAD) + _texts(document, WORKER)
    paths = re.findall(r"RAY_AUTH_TOKEN_PATH=['\"]?([^\s;&'\"]+)", text)
    return {re.sub(r"^\$(HOME|\{HOME\})(?=/)", "~", path) for path in paths}


def _texts(document: Document, key: str) -> str:
    """All that sets the environment of one kind of node: its commands, and its container."""
    other = "worker" if key == HEAD else "head"
    keys = [each for each in (*SETUPS, key) if not each.startswith(other)]
    docker = document.mapping("docker")
    options = [docker.get("run_options"), docker.get(f"{key.split('_')[0]}_run_options")]
    texts = [command.text for each in keys for command in commands_of(document, each)]
    return "\n".join([*texts, *(str(each) for each in options if each)])


def _find_start(document: Document, key: str, option: str) -> Command | None:
    for command in commands_of(document, key):
        if re.search(r"\bray start\b", command.text) and option in command.text:
            return command
    return None
