"""Rules of what a Slurm script runs: one Ray for each job, and the search's own exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tune_jobs.lint.script_lines import Line

Problem = tuple[int, str]
Place = tuple[int, re.Match[str]]

DRIVER = r"(tune-jobs|-m tune_jobs) run\b"
SAID = re.compile(r"\s*(\w+=|echo\b|printf\b|:)")  # what only speaks of a command
WAIT = "RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT"
LEAST_WAIT = 120  # seconds that all nodes may need to start
MARKER = r"summary\.json|exit_code|\.done\b"
PER_JOB = re.compile(r"SLURM_JOB_?ID|SLURM_ARRAY_JOB_ID|mktemp")
SOCKETS = "the path of a socket has at most 107 characters"


def check_commands(commands: Sequence[Line], top: int) -> Iterator[Problem]:
    """Mistakes in the commands; those of what is absent belong to the line ``top``."""
    starts = _find(commands, r"\bray\s+(start|symmetric-run)\b")
    if starts:
        yield from _check_port(commands, starts[0][0])
        yield from _check_folder(commands, starts[0][0])
        yield from _check_token(commands, starts[0][0])
    yield from _check_symmetric_run(commands)
    for line, _ in _find(commands, r"\bray\s+stop\b"):
        yield line, "`ray stop` ends every Ray of the machine; kill the `ray start --block` instead"
    drivers = _find([line for line in commands if not SAID.match(line.text)], DRIVER)
    if drivers:
        yield from _check_driver(commands, drivers[0][0])
        yield from _check_going_on(commands, drivers[0][0], top)
    yield from _check_storage(commands)


def _find(commands: Sequence[Line], pattern: str) -> list[Place]:
    return [
        (line.at(match.start()), match)
        for line in commands
        for match in re.finditer(pattern, line.text)
    ]


def _check_port(commands: Sequence[Line], start: int) -> Iterator[Problem]:
    fixed = [
        *_find(commands, r"(?i)\bport[= ][\"']?(?P<port>\d+)\b(?![\"']?\s*\+)"),
        *_find(commands, r"[\w}\"'.]:(?P<port>6379)\b"),
    ]
    for line, match in fixed:
        port = match["port"]
        yield line, f"port {port} is the same for all jobs; derive it from $SLURM_JOB_ID"
    if not fixed and not _find(commands, r"--port\b|--address[= ]"):
        yield start, "`ray start` without --port takes 6379, the same for all jobs; derive one"
    elif not fixed and _find(commands, r"--head\b") and not _find(commands, r"--port\b"):
        yield start, "`ray start --head` without --port takes 6379, the same for all jobs"


def _check_folder(commands: Sequence[Line], start: int) -> Iterator[Problem]:
    folders = _find(commands, r"(?:\bRAY_TMPDIR=|--temp-dir[= ])(?P<folder>\S+)")
    if not folders:
        yield start, "Ray takes /tmp/ray, the same for all jobs; export RAY_TMPDIR with the job's"
    for line, match in folders:
        folder = match["folder"].strip("\"'")
        if re.search(r"SLURM_SUBMIT_DIR|\bHOME\b|^~", folder):
            yield line, f"Ray's folder {folder} is not a node's own, and {SOCKETS}; take /tmp"
        elif folder.startswith("/") and not PER_JOB.search(folder):
            yield line, f"Ray's folder {folder} is the same for all jobs; add $SLURM_JOB_ID"
        elif len(folder) > 50:
            yield line, f"Ray's folder {folder} is long, but {SOCKETS}; make it shorter"


def _check_token(commands: Sequence[Line], start: int) -> Iterator[Problem]:
    if not _find(commands, r"RAY_AUTH_MODE=[\"']?token\b"):
        yield start, "RAY_AUTH_MODE=token is absent: everybody in the network could run code here"
    elif not _find(commands, r"RAY_AUTH_TOKEN_PATH="):
        yield start, "RAY_AUTH_TOKEN_PATH is absent: name the job's own token file"


def _check_symmetric_run(commands: Sequence[Line]) -> Iterator[Problem]:
    runs = _find(commands, r"\bray\s+symmetric-run\b")
    if not runs:
        return
    waits = _find(commands, rf"\b{WAIT}=[\"']?(?P<seconds>\d+)")
    if not waits:
        yield runs[0][0], f"`ray symmetric-run` waits 30 s for the nodes; export {WAIT}=300"
    for line, match in waits:
        if int(match["seconds"]) < LEAST_WAIT:
            yield line, f"{WAIT} is {match['seconds']}, too short for several nodes; write 300"
    if not _find(commands, MARKER):
        text = "`ray symmetric-run` exits with 0 where Ray did not start; take the exit code from"
        yield runs[0][0], f"{text} a marker of success, such as the experiment's summary.json"


def _check_driver(commands: Sequence[Line], driver: int) -> Iterator[Problem]:
    for line, _ in _find(commands, rf"{DRIVER}[^|&]*\|\|\s*(true|:)(?!\w)"):
        yield line, "`|| true` hides how the search ended; its exit code must be the job's"
    for line, _ in _find(commands, rf"\bsrun\b(?:(?!symmetric-run)[^|;&])*{DRIVER}"):
        if not _find(commands, MARKER):
            text = "srun's exit code is not the search's alone"
            yield line, f"{text}; run it in this script, or look for its summary.json"
    if not _find(commands, r"\bset\s+(-\S+\s+)*-\w*e") and not _find(commands, MARKER):
        yield driver, "without `set -e` a failure may be followed by exit code 0"


def _check_going_on(commands: Sequence[Line], driver: int, top: int) -> Iterator[Problem]:
    for option, why in {
        "--resume": "a requeued job would be refused by what it has begun",
        "--name": "each start would begin another experiment",
    }.items():
        if not _find(commands, rf"{DRIVER}[^|;&]*{option}\b"):
            yield driver, f"`tune-jobs run` without {option}: {why}"
    if not _find(commands, r"\bscontrol\s+requeue\b"):
        yield top, "no `scontrol requeue`: Slurm requeues after a lost node, not at the time limit"


def _check_storage(commands: Sequence[Line]) -> Iterator[Problem]:
    pattern = r"(?:--storage[= ]|(?<!\w)(?:TUNE_JOBS_)?(?:storage|STORAGE)=)(?P<storage>\S+)"
    for line, match in _find(commands, pattern):
        written = match["storage"].strip("\"'")
        storage = re.sub(r"^\$\{\w+:?[-=]|\}$", "", written) if ":-" in written else written
        if not re.match(r"[/$~]|[a-z0-9]+://", storage):
            yield line, f"storage {storage!r} is relative: each node would look for its own"
