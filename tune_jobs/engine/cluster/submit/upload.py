"""Check what will be uploaded to a cluster before it is packed: size, secrets, what is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.formatting import count, listed
from tune_jobs.engine.ray_internals import upload_limit, walk_upload

# What may hold passwords, keys and tokens, as patterns of .gitignore.
SECRETS = [
    *(".env", ".env.*", ".envrc", ".netrc", "_netrc", ".aws", ".azure", ".boto", ".s3cfg"),
    *(".config/gcloud", "application_default_credentials.json", ".kube", "kubeconfig"),
    *(".ssh", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.ppk"),
    *("*.p12", "*.pfx", "*.jks", "*.kdbx", ".gnupg", ".git-credentials", ".pypirc", ".npmrc"),
    *(".pgpass", ".my.cnf", ".htpasswd", ".vault-token", "*.token", ".docker", ".dockercfg"),
    *(".streamlit/secrets.toml", ".terraformrc", "*.tfstate", ".kaggle", ".huggingface"),
]

# Left out beside what .gitignore, .rayignore and Ray's defaults leave out.
EXCLUDES = ["results", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", *SECRETS]

# Set to 1 it makes Ray upload what .gitignore names.
IGNORE_GITIGNORE = "RAY_RUNTIME_ENV_IGNORE_GITIGNORE"

MOST_SHOWN = 8
MIB = 2**20


@dataclass(frozen=True)
class Upload:
    """What will be uploaded.

    Attributes:
        size: its bytes, before they are packed.
        left_out: files of the folder that are not uploaded since they may hold secrets.
    """

    size: int
    left_out: tuple[str, ...]

    @property
    def note(self) -> str:
        """A line that names what is left out; empty if nothing is."""
        if not self.left_out:
            return ""
        what = count(len(self.left_out), "file")
        verb = "is" if len(self.left_out) == 1 else "are"
        names = listed(self.left_out, MOST_SHOWN)
        return f"{what} that may hold secrets {verb} left out of the upload: {names}"


def find_uploaded(folder: Path) -> dict[Path, int]:
    """Return the files of a folder that Ray would upload, with their sizes in bytes.

    Raises:
        JobError: for a link that leads out of the folder.
    """
    found: dict[Path, int] = {}

    def note(path: Path) -> None:
        if path.is_symlink():
            _check_link(path, folder)
        if path.is_file():
            found[path] = path.stat().st_size

    _walk(folder, EXCLUDES, note)
    return found


def _walk(
    folder: Path,
    excludes: Sequence[str],
    note: Callable[[Path], None],
    skip: Callable[[Path], bool] | None = None,
) -> None:
    use_gitignore = os.environ.get(IGNORE_GITIGNORE) != "1"
    walk_upload(folder, excludes, note, use_gitignore=use_gitignore, skip=skip)


def _is_linked_folder(path: Path) -> bool:
    return path.is_symlink() and path.is_dir()


def check_upload(folder: Path, needed: Iterable[Path], token_file: str | None = None) -> Upload:
    """Refuse an upload that the cluster would refuse, or that lacks what the job needs.

    Args:
        folder: what is uploaded.
        needed: files and folders that the job reads.
        token_file: the file that holds the cluster's token.

    Raises:
        JobError: for more than 100 MiB, listing the largest paths; for a needed file that lies
            outside of the folder or is left out; for a link that leads out of the folder; if the
            token would be uploaded.
    """
    found = find_uploaded(folder)
    _check_token(token_file, found)
    packages = packages_to_send(folder)
    for path in needed:
        _check_needed(path, folder, found)
    for package in packages:
        found |= find_uploaded(Path(package))
    total, limit = sum(found.values()), upload_limit()
    if total > limit:
        raise JobError(
            f"{folder} has {total / MIB:,.0f} MiB to upload, but the cluster accepts at most "
            f"{limit / MIB:.0f} MiB. Largest: {_largest(folder, found)}. Add what the job does not "
            "need to .rayignore, and put data into storage that the cluster can reach"
        )
    return Upload(total, tuple(_find_secrets(folder, found)))


def _find_secrets(folder: Path, uploaded: Collection[Path]) -> list[str]:
    """List the files of a folder that are left out only since they may hold secrets."""
    paths: list[Path] = []
    others = [each for each in EXCLUDES if each not in SECRETS]
    _walk(folder, others, paths.append, skip=_is_linked_folder)
    left_out = [path for path in paths if path.is_file() and path not in uploaded]
    return sorted(str(path.relative_to(folder)) for path in left_out)


def _check_link(path: Path, folder: Path) -> None:
    """Refuse a link to something outside of its folder, and one to a folder that contains it."""
    if not path.exists():  # Ray leaves it out
        return
    target, name = path.resolve(), path.relative_to(folder)
    advice = f"replace {name} by what it leads to, or add it to .rayignore"
    if not target.is_relative_to(folder.resolve()):
        raise JobError(
            f"{name} is a link to {target}, outside {folder}, which is uploaded; {advice}"
        )
    if path.parent.resolve().is_relative_to(target):
        raise JobError(f"{name} is a link to a folder that contains it; {advice}")


def _check_token(token_file: str | None, found: Mapping[Path, int]) -> None:
    if token_file and (path := Path(token_file).expanduser().absolute()) in found:
        raise JobError(
            f"{path} holds the cluster's token, and would be uploaded; move it out of the folder, "
            "or add it to .rayignore"
        )


def _check_needed(path: Path, folder: Path, found: dict[Path, int]) -> None:
    path = path.absolute()
    if not path.is_relative_to(folder):
        raise JobError(
            f"{path} is outside {folder}, the folder that is uploaded; move it there, or submit "
            "from a folder that contains it"
        )
    if not any(file == path or file.is_relative_to(path) for file in found):
        what = "does not exist" if not path.exists() else "is excluded from the upload"
        raise JobError(
            f"the job needs {path.relative_to(folder)}, which {what}; check .gitignore and "
            ".rayignore, or put it into storage that the cluster can reach"
        )


def _largest(folder: Path, found: dict[Path, int]) -> str:
    """List the largest files and folders at the top of the upload."""
    sizes: dict[str, int] = {}
    for path, size in found.items():
        inside = path.relative_to(folder) if path.is_relative_to(folder) else path
        name = "/".join(inside.parts[:2])
        sizes[name] = sizes.get(name, 0) + size
    largest = sorted(sizes, key=lambda name: -sizes[name])[:MOST_SHOWN]
    return ", ".join(f"{name} ({sizes[name] / MIB:,.1f} MiB)" for name in largest)


def imported_from(folder: Path) -> list[Path]:
    """List the files below a folder that this process has imported modules from."""
    left_out = {folder / ".venv", folder / "venv"}
    return [
        path
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None))
        and (path := Path(file)).is_relative_to(folder)
        and not any(path.is_relative_to(other) for other in (*left_out, Path(sys.prefix)))
    ]


def packages_to_send(folder: Path) -> list[str]:
    """List the packages of this project that the folder does not contain."""
    package = Path(__file__).parents[3]
    packages = [package, package.parent / "trainables"]
    return [str(path) for path in packages if not (folder / path.name).is_dir()]
