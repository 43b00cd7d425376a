"""A profile: the machines that a job runs on, and the resources of each trial."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tune_jobs.engine.errors import JobError, check_whole_number, is_finite
from tune_jobs.engine.names import check_experiment_name, nearest
from tune_jobs.engine.storage.folder import Folder, open_folder

FOLDER = Path("cluster", "profiles")

# Names of environment variables that hold secrets, and what is the same place on every node.
SECRET = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|(^|_)KEY($|_ID$)|API_?KEY", re.IGNORECASE)
ABSOLUTE = re.compile(r"/|[a-z][a-z0-9+.-]*://", re.IGNORECASE)

MOST_VALUES = 10_000

LEAST = {
    "cpus_per_trial": 0.01,
    "gpus_per_trial": 0,
    "max_failures": -1,
    "max_silence_minutes": 0.01,
    "min_free_gb": 0,
}


@dataclass(frozen=True)
class Profile:
    """Address, storage and resources; the defaults are a laptop's.

    ``address`` is ``local`` (a Ray for this run only), ``auto`` (the cluster of the machine that
    the search runs on) or a cluster's ``host:port``; ``jobs_api`` is the URL at which that cluster
    takes jobs from outside, and ``token_file`` holds its token. ``storage`` is a folder or a URI
    that pyarrow knows; ``env`` reaches the workers before Keras.
    ``max_failures`` is how often a trial whose worker was lost starts again from its checkpoint;
    one without a report for ``max_silence_minutes`` is taken to hang. A run ends before less than
    ``min_free_gb`` of a local storage are left; above ``max_checkpoint_gb`` the worst trials'
    checkpoints go.

    Raises:
        JobError: for a field that is not as it must be.
    """

    address: str = "local"
    jobs_api: str | None = None
    token_file: str | None = None
    storage: str = "results"
    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    max_concurrent_trials: int | None = None
    trials_in_step: int = 1
    max_failures: int = 3
    max_silence_minutes: float = 60
    min_free_gb: float = 0.5
    max_checkpoint_gb: float | None = None
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_texts()
        self._check_numbers()
        self._check_env()
        self._check_places()

    def _check_texts(self) -> None:
        for name in ("address", "storage", "jobs_api", "token_file"):
            value, is_optional = getattr(self, name), name in ("jobs_api", "token_file")
            if value is None and is_optional:
                continue
            if not isinstance(value, str) or not value or "\0" in value:
                raise JobError(f"{name} is {value!r}, but must be text")

    def _check_numbers(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not is_finite(value) or value < least:
                raise JobError(f"{name} is {value!r}, but must be a number >= {least}")
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise JobError(
                f"gpus_per_trial is {self.gpus_per_trial:g}, but must be an integer if above 1"
            )
        bound = self.max_checkpoint_gb
        if bound is not None and not (is_finite(bound) and bound > 0):
            raise JobError(f"max_checkpoint_gb is {bound!r}, but must be a number > 0")
        if self.max_concurrent_trials is not None:
            check_whole_number("max_concurrent_trials", self.max_concurrent_trials, 1)
        check_whole_number("trials_in_step", self.trials_in_step, 1)

    def _check_env(self) -> None:
        if not isinstance(self.env, dict) or not all(
            isinstance(text, str) for pair in self.env.items() for text in pair
        ):
            raise JobError(f"env is {self.env!r}, but must map names to strings")
        for name in self.env:
            if SECRET.search(name):
                raise JobError(
                    f"env.{name} looks like a secret, which logs and the dashboard would show; set "
                    "it on the nodes, or give them a role"
                )

    def _check_places(self) -> None:
        if self.jobs_api is not None and not _is_url(self.jobs_api):
            raise JobError(
                f"jobs_api is {self.jobs_api!r}, but must be a URL such as http://127.0.0.1:8265"
            )
        if self.address != "local" and not ABSOLUTE.match(self.storage):
            raise JobError(
                f"storage is {self.storage!r}, but must be a URI or an absolute path that all "
                "nodes of the cluster share"
            )

    @property
    def resources(self) -> dict[str, float]:
        """The resources that one trial reserves, as Ray's ``with_resources`` takes it."""
        return {"cpu": self.cpus_per_trial, "gpu": self.gpus_per_trial}

    @property
    def place(self) -> str:
        """Say where trials run, for messages."""
        return "this machine" if self.address == "local" else f"the cluster at {self.address}"


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:  # a bracket that is not closed
        return False
    return url.scheme in ("http", "https") and bool(url.hostname)


def find_profile(name: str) -> Path:
    """Return the path of a profile given by its name or path."""
    return Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"


def load_profile(name: str) -> Profile:
    """Read ``cluster/profiles/<name>.yaml``, or the file at a path; ``laptop`` is built in.

    Raises:
        JobError: for an unknown profile, an unknown key or a value that does not fit.
    """
    path = find_profile(name)
    if not path.is_file():
        if name == "laptop":
            return Profile()
        known = sorted({"laptop", *(found.stem for found in FOLDER.glob("*.yaml"))})
        raise JobError(
            f"no profile {name!r} ({path} does not exist){nearest(name, known)} "
            f"Profiles: {', '.join(known)}"
        )
    return _parse(path)


def _parse(path: Path) -> Profile:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an integer of 5,000 digits
        raise JobError(f"{path}: invalid YAML: {' '.join(str(error).split())}") from None
    if _is_large(content):
        raise JobError(f"{path}: has more than {MOST_VALUES:,} values, with those of anchors")
    if not isinstance(content, dict):
        raise JobError(f"{path}: must map keys to values, got {content!r}")
    known = [entry.name for entry in fields(Profile)]
    for key in content:
        if key not in known:
            raise JobError(
                f"{path}: unknown key {key!r}{nearest(str(key), known)} Known: {', '.join(known)}"
            )
    try:
        return Profile(**content)
    except JobError as error:
        raise JobError(f"{path}: {error}") from None


def _is_large(content: object) -> bool:
    """Return whether YAML holds more values than any profile; anchors can multiply them."""
    left, count = [content], 0
    while left:
        each = left.pop()
        count += 1
        if count > MOST_VALUES:
            return True
        if isinstance(each, dict):
            left += [*each, *each.values()]
        elif isinstance(each, list | tuple | set):
            left += each
    return False


def locate(profile: Profile, name: str) -> Folder:
    """Return the folder in which an experiment lies or will lie.

    Raises:
        JobError: for a name that is no plain name.
    """
    check_experiment_name(name)
    return open_folder(profile.storage).child(name)
