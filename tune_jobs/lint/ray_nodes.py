"""Rules for the nodes of a `ray up` file: which versions they install, and who may reach them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tune_jobs.lint.commands import split_commands
from tune_jobs.lint.findings import Finding
from tune_jobs.lint.located import dotted
from tune_jobs.lint.parts import Part
from tune_jobs.lint.versions import LOCK, image_problem, read_versions

TYPES = "available_node_types"
SETUP = "setup_commands"
SETUPS = (SETUP, f"head_{SETUP}", f"worker_{SETUP}")
HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"
IMAGES = ("image", "head_image", "worker_image")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_nodes(whole: Part) -> Iterator[Finding]:
    """Yield what would keep nodes apart, or open them to everybody."""
    if SETUP not in whole.mapping():
        yield whole.finding(
            f"{SETUP} is missing: Ray's default installs another Ray, or nothing; write it"
        )
    versions = read_versions(whole.document.path, _python_of(whole))
    nodes = [whole, *(whole.part(TYPES, name) for name in whole.mapping(TYPES))]
    for node in nodes:
        for key in SETUPS:
            for command in node.parts(key):
                yield from _check_versions(command, versions)
        for key in IMAGES:
            image, ray = node.text("docker", key), versions.get("ray", "")
            if problem := image_problem(f"docker.{key}", image, ray):
                yield node.finding(problem, "docker", key)
    for key in (HEAD, WORKER):
        yield from _check_start(whole, key)


def _python_of(whole: Part) -> str | None:
    """Return the Python of the nodes, by the tag of their image or by the setup commands."""
    texts = [whole.text("docker", key) for key in IMAGES]
    texts += [command.text() for command in whole.parts(SETUP)]
    found = re.search(r"(?:-py3|python3\.|python=3\.)(\d+)", "\n".join(texts))
    return f"3.{found[1]}" if found else None


def find_requirements(command: str) -> Iterator[Requirement]:
    """Yield the packages that a shell command installs with pip.

    Raises:
        ValueError: for a quotation that does not end.
    """
    for words in split_commands(command):
        place = words.index("install") if "install" in words[1:] else 0
        if not place or not re.fullmatch(r"(.*/)?pip[0-9.]*", words[place - 1]):
            continue
        for word in words[place + 1 :]:
            try:
                yield Requirement(word)
            except InvalidRequirement:
                continue


def _check_versions(command: Part, versions: dict[str, str]) -> Iterator[Finding]:
    """Yield the packages whose version differs from the lock file's, or is left open."""
    place = dotted(command.keys)
    try:
        requirements = [*find_requirements(command.text())]
    except ValueError as error:
        yield command.finding(f"{place}: no shell can read it: {str(error).lower()}")
        return
    for each in requirements:
        name = canonicalize_name(each.name)
        wanted = versions.get(name)
        if wanted and not _agrees(each, wanted, exactly=name == "ray"):
            yield command.finding(
                f"{place} installs {str(each)!r}, but all nodes need {name}=={wanted} of {LOCK}"
            )


def _agrees(requirement: Requirement, wanted: str, *, exactly: bool) -> bool:
    pins = [each.version for each in requirement.specifier if each.operator == "=="]
    is_exact = bool(pins) and not (exactly and any(each.endswith("*") for each in pins))
    return is_exact and not requirement.url and requirement.specifier.contains(wanted)


def _check_start(whole: Part, key: str) -> Iterator[Finding]:
    if key not in whole.mapping():
        yield whole.finding(f"{key} is missing, and Ray's default asks for no token; write it")
        return
    start = next((each for each in whole.parts(key) if "ray start" in each.text()), None)
    if start is None:
        yield whole.finding(f"{key} must contain a `ray start`", key)
        return
    text = start.text()
    for problem in _start_problems(text, _environment_of(whole, key), is_head=key == HEAD):
        yield start.finding(f"{dotted(start.keys)}: {problem}")


def _start_problems(text: str, environment: str, *, is_head: bool) -> Iterator[str]:
    """Yield what is wrong with the command that starts Ray on a node."""
    host = re.search(r"--dashboard-host[= ]+['\"]?([^\s'\"]+)", text)
    if is_head and "--autoscaling-config" not in text:
        yield "without --autoscaling-config=~/ray_bootstrap_config.yaml no worker would start"
    if is_head and (host is None or host[1] not in LOOPBACK):
        yield (
            "without --dashboard-host=127.0.0.1 others may reach the dashboard, which runs any "
            "code that it is sent; `ray dashboard FILE` makes a tunnel"
        )
    if not is_head and "--address" not in text:
        yield "without --address=$RAY_HEAD_IP:6379 the node joins no head"
    if not {"RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN_PATH="} <= {*_settings_in(environment)}:
        yield (
            "without RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=FILE everybody who reaches a "
            "port is let in; export both"
        )
    if re.search(r"\bRAY_AUTH_TOKEN=", text):
        yield "RAY_AUTH_TOKEN shows in logs and process lists; name a file in RAY_AUTH_TOKEN_PATH"


def _settings_in(text: str) -> list[str]:
    return re.findall(r"RAY_AUTH_MODE=token\b|RAY_AUTH_TOKEN_PATH=", text)


def _environment_of(whole: Part, key: str) -> str:
    """Return all that sets the environment of a kind of node: commands, container options."""
    other = "worker" if key == HEAD else "head"
    keys = [each for each in (*SETUPS, key) if not each.startswith(other)]
    texts = [command.text() for each in keys for command in whole.parts(each)]
    options = ("run_options", f"{key.split('_')[0]}_run_options")
    return "\n".join([*texts, *(str(whole.get("docker", each)) for each in options)])
