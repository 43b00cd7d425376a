"""What is uploaded to a cluster is looked at before it is packed."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package

from tune_jobs.engine import JobError
from tune_jobs.engine.cluster.submit.upload import EXCLUDES, check_upload, find_uploaded
from tune_jobs.engine.ray_internals import upload_limit

NAMES = ["a.py", "b.csv", "data/c.csv", "data/deep/d.csv", ".git/e", "results/f", "keep/g.csv"]
PATTERNS = ["*.csv", "data/", "/data", "!b.csv", "deep", "# nothing", "*.py", "keep/g.csv"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    st.lists(st.sampled_from(PATTERNS), max_size=3),
    st.lists(st.sampled_from(PATTERNS), max_size=3),
)
def test_what_is_looked_at_is_what_ray_packs(tmp_path_factory, names, git, ray) -> None:
    folder = tmp_path_factory.mktemp("upload")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / ".gitignore").write_text("\n".join(git))
    (folder / "keep").mkdir(exist_ok=True)
    (folder / "keep/.rayignore").write_text("\n".join(ray))
    package = tmp_path_factory.mktemp("package") / "package.zip"
    excludes = [*get_runtime_env_default_excludes(), *EXCLUDES]

    create_package(str(folder), package, include_gitignore=True, excludes=excludes)

    with zipfile.ZipFile(package) as packed:
        files = {info.filename for info in packed.infolist() if not info.is_dir()}
    assert {str(path.relative_to(folder)) for path in find_uploaded(folder)} == files


def test_too_much_is_refused_before_it_is_packed_and_the_largest_paths_are_named(
    tmp_path, monkeypatch
) -> None:
    for name, size in (("data/large.csv", 3000), ("data/other.csv", 2000), ("job.py", 10)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"0" * size)
    assert check_upload(tmp_path, []).size >= 5010
    with (tmp_path / "data/large.csv").open("r+b") as sparse:
        sparse.truncate(upload_limit() + 1)

    with pytest.raises(JobError, match="the cluster accepts at most 100 MiB") as caught:
        check_upload(tmp_path, [])

    assert "Largest: data/large.csv (100.0 MiB), " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_job_needs_and_git_ignores_is_named(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/table.csv").write_text("x")
    (tmp_path / ".gitignore").write_text("data/\n")
    needed = tmp_path / "data/table.csv"

    with pytest.raises(JobError, match=r"needs data/table.csv, which is excluded from the upload"):
        check_upload(tmp_path, [needed])
    with pytest.raises(JobError, match=r"needs data, which is excluded"):
        check_upload(tmp_path, [needed.parent])
    with pytest.raises(JobError, match=r"gone.csv, which does not exist"):
        check_upload(tmp_path, [tmp_path / "gone.csv"])
    with pytest.raises(JobError, match="is outside"):
        check_upload(tmp_path, [Path("/etc/hostname")])
    (tmp_path / ".gitignore").unlink()
    assert check_upload(tmp_path, [needed, needed.parent]).size > 0


SECRETS = [
    *(".env", ".env.production", "deep/.env", ".netrc", ".aws/credentials", "deep/.ssh/config"),
    *(".ssh/id_rsa", "id_rsa", "keys/id_ed25519.pub", "server.pem", "tls.key", ".pypirc", ".npmrc"),
    *(".git-credentials", ".kube/config", ".config/gcloud/credentials.db", "ray.token", ".pgpass"),
    *(".docker/config.json", ".streamlit/secrets.toml", "application_default_credentials.json"),
]


def write_all(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def packed_files(folder: Path, aside: Path) -> set[str]:
    package, excludes = aside / "package.zip", [*get_runtime_env_default_excludes(), *EXCLUDES]
    create_package(str(folder), package, include_gitignore=True, excludes=excludes)
    with zipfile.ZipFile(package) as packed:
        return {info.filename for info in packed.infolist() if not info.is_dir()}


def test_secrets_are_left_out_and_named(tmp_path, tmp_path_factory) -> None:
    write_all(tmp_path, [*SECRETS, "job.py", "environment.py", "data/keys.csv"])
    (tmp_path / ".ssh/everything").symlink_to("/")

    upload = check_upload(tmp_path, [])

    packed = packed_files(tmp_path, tmp_path_factory.mktemp("package"))
    assert packed == {"job.py", "environment.py", "data/keys.csv"}
    assert set(upload.left_out) == set(SECRETS)
    assert "21 files that may hold secrets are left out of the upload: .aws/" in upload.note
    with pytest.raises(JobError, match=r"needs .env, which is excluded"):
        check_upload(tmp_path, [tmp_path / ".env"])
    (tmp_path / ".rayignore").write_text("*\n")
    assert check_upload(tmp_path, []).left_out == ()  # they would not have been uploaded anyway


def test_a_link_that_leads_out_is_refused(tmp_path) -> None:
    folder, outside = tmp_path / "project", tmp_path / "home"
    write_all(tmp_path, ["project/job.py", "project/data/a.csv", "home/secret", "home/a.csv"])
    (folder / "inside.csv").symlink_to(folder / "data/a.csv")
    (folder / "gone").symlink_to(outside / "nothing")
    assert check_upload(folder, []).size > 0

    for name, target in (("file", outside / "a.csv"), ("data/folder", outside), ("up", Path(".."))):
        (folder / name).symlink_to(target)
        with pytest.raises(JobError, match=f"{name} is a link to .*, outside {folder}, which is"):
            check_upload(folder, [])
        (folder / ".rayignore").write_text(f"{name}\n")
        assert check_upload(folder, []).size > 0
        (folder / ".rayignore").unlink()
        (folder / name).unlink()
    (folder / "data/again").symlink_to(folder)
    with pytest.raises(JobError, match="data/again is a link to a folder that contains it"):
        check_upload(folder, [])
    (folder / "data/again").unlink()
    (folder / "itself").symlink_to(folder / "itself")
    assert check_upload(folder, []).size > 0


def test_the_token_of_the_cluster_is_not_uploaded(tmp_path) -> None:
    write_all(tmp_path, ["job.py", "access"])
    with pytest.raises(JobError, match="access holds the cluster's token, and would be uploaded"):
        check_upload(tmp_path, [], token_file=str(tmp_path / "access"))
    assert check_upload(tmp_path, [], token_file="/elsewhere/access").size > 0
