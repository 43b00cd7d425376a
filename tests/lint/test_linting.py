"""Lint of all cluster files: each by the rules of its kind, and nothing more is claimed."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from tune_jobs.cli.main import main
from tune_jobs.engine.errors import JobError
from tune_jobs.lint.linting import kind_of, lint
from tune_jobs.lint.versions import read_versions

ROOT = Path(__file__).parent.parent.parent
CLUSTER = ROOT / "cluster"
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file())
SHIPPED = [path for path in FILES if path.suffix not in (".md", ".txt")]


def invoke(*words: object):
    return CliRunner().invoke(main, ["cluster", "lint", *map(str, words)])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_passes(path, known) -> None:
    (checked,) = lint([path], known)

    assert list(checked.findings) == []


def test_all_files_of_the_cluster_are_checked_if_none_is_given(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cluster/profiles/a.yaml", "cluster/b/c.yaml", "cluster/.git/d", "cluster/e.md"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("\ncpus_per_trials: 1\nstorage: results\n")

    result = invoke()

    assert result.exit_code == 2
    assert [line.split("; ")[0] for line in result.stdout.splitlines()] == [
        "cluster/b/c.yaml:2: unknown key 'cpus_per_trials'",
        "cluster/profiles/a.yaml:2: unknown key 'cpus_per_trials'",
    ]
    assert result.stderr == "2 files checked, 2 problems in 2 files\n"


def test_files_that_are_checked_only_in_part_are_not_called_checked(tmp_path) -> None:
    crontab = shutil.copy(CLUSTER / "cron" / "nightly.crontab", tmp_path)
    shutil.copy(CLUSTER / "profiles" / "laptop.yaml", tmp_path)

    both, alone = invoke(tmp_path), invoke(crontab)

    searched = f"only tune-jobs commands were checked in {crontab} (2); docs/clusters.md names "
    assert both.stderr.startswith(searched)
    assert both.stderr.endswith("\n1 file checked, no problems\n")
    assert alone.stderr.startswith(searched)
    assert alone.stderr.endswith("\nno problems\n")
    assert (both.exit_code, alone.exit_code) == (0, 0)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.yaml", "provider: {type: aws}", "`ray up` file"),
        ("a.yml", "# why\ncluster_name: [", "`ray up` file"),
        ("a.yaml", "apiVersion: ray.io/v1\nprovider: x", "Kubernetes"),
        ("a.yaml", "storage: s3://bucket/results", "profile"),
        ("profiles/a.yaml", "", "profile"),
        ("a.yaml", "other: 1", "text"),
        ("a.yaml", "on:\n  push:\njobs: {}\nenv: {}", "text"),
        ("Dockerfile", "FROM scratch", "text"),
    ],
)
def test_the_kind_of_a_file_shows_in_its_content(tmp_path, name, text, kind) -> None:
    assert kind_of(tmp_path / name, text) == kind


def test_a_file_that_is_not_yaml_is_a_finding_and_the_others_are_still_checked(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("cluster_name: a\nprovider: [\n")
    (tmp_path / "b.yaml").write_text("address: local\nstorage: 1\n")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe\x00")

    findings = [finding for each in lint([tmp_path], {}) for finding in each.findings]

    places = [(Path(finding.path).name, finding.line) for finding in findings]
    assert places == [("a.yaml", 3), ("b.yaml", 2), ("c.bin", 1)]


def test_a_file_that_is_named_twice_is_reported_once(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("storage: 1\n")

    (checked,) = lint([tmp_path, tmp_path / "a.yaml"], {})

    assert len(checked.findings) == 1


def test_prose_is_checked_only_if_it_is_named(tmp_path) -> None:
    (tmp_path / "README.md").write_text("# Hello")

    assert lint([tmp_path], {}) == []
    assert len(lint([tmp_path / "README.md"], {})) == 1


def test_a_path_that_does_not_exist_is_refused(tmp_path) -> None:
    with pytest.raises(JobError, match="nothing: no such file or folder"):
        lint([tmp_path / "nothing"], {})


def test_the_shipped_image_has_the_versions_of_the_lock_file() -> None:
    versions = read_versions(CLUSTER / "Dockerfile", "3.11")
    lines = (CLUSTER / "requirements-node.txt").read_text().splitlines()
    pins = [Requirement(line.split(" \\")[0]) for line in lines if "==" in line]

    assert f"FROM rayproject/ray:{versions['ray']}-py311\n" in (CLUSTER / "Dockerfile").read_text()
    assert {"ray", "keras", "tensorflow"} <= {pin.name for pin in pins}
    others = [pin for pin in pins if not pin.specifier.contains(versions.get(pin.name, "0"))]
    assert [str(pin) for pin in others if pin.name in versions] == []


@pytest.mark.parametrize("tool", [("bash", "-n"), ("shellcheck",)], ids=lambda tool: tool[0])
def test_tools_for_scripts_have_nothing_to_say_of_the_shipped_one(tool) -> None:
    if not shutil.which(tool[0]):
        pytest.skip(f"needs {tool[0]}")

    ran = subprocess.run([*tool, CLUSTER / "slurm" / "ray.sbatch"], capture_output=True, text=True)

    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
