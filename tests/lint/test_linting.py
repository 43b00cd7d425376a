"""Lint of all cluster files: each goes to the linter of its kind."""

from pathlib import Path

import pytest

from tune_jobs.engine.errors import JobError
from tune_jobs.lint.linting import kind_of, lint

ROOT = Path(__file__).parent.parent.parent
SHIPPED = sorted(path for path in (ROOT / "cluster").rglob("*") if path.is_file())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_file_is_of_a_known_kind_and_passes(path) -> None:
    if path.suffix not in (".md", ".txt"):  # prose, and the requirements of the image
        assert lint([path]) == []


def test_all_files_of_the_cluster_are_linted_where_none_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cluster/profiles/a.yaml", "cluster/b/c.yaml", "cluster/.git/d", "cluster/e.md"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("\ncpus_per_trials: 1\n")

    findings = lint()

    assert [str(finding).split(": ")[0] for finding in findings] == [
        "cluster/b/c.yaml:1",
        "cluster/profiles/a.yaml:2",
    ]
    assert "of no known kind: a `ray up` file has cluster_name and provider" in findings[0].text
    assert "did you mean 'cpus_per_trial'" in findings[1].text


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.yaml", "provider: {type: aws}", "ray up"),
        ("a.yml", "# why\ncluster_name: [", "ray up"),
        ("a.yaml", "apiVersion: ray.io/v1\nprovider: x", "KubeRay"),
        ("a.yaml", "storage: s3://bucket/results", "profile"),
        ("profiles/a.yaml", "", "profile"),
        ("a.yaml", "other: 1", None),
        ("job", "#!/bin/bash\n#SBATCH --nodes=2\n", "Slurm"),
        ("Dockerfile.gpu", "", "Dockerfile"),
        ("node", "# syntax=docker/dockerfile:1\nFROM scratch\n", "Dockerfile"),
        ("notes", "FROM: me", None),
        ("a.yaml", "on:\n  push:\njobs: {}", "workflow"),
        ("mine", "# why\n30 2 * * 1-5 true\n", "crontab"),
        ("mine", "@daily true\n", "crontab"),
        ("mine", "#SCRON --time=10\n0 2 * * * true\n", "crontab"),
        ("a.crontab", "", "crontab"),
        ("a.service", "[Service]\nExecStart=true\n", "systemd"),
        ("a_dag.py", "from airflow.sdk import DAG\n", "Airflow"),
        ("a.py", "import sys\n", None),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_content(tmp_path, name, text, kind) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

    assert kind_of(path) == kind


def test_a_file_that_is_no_yaml_is_a_finding_and_the_others_are_still_linted(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("cluster_name: a\nprovider: [\n")
    (tmp_path / "b.yaml").write_text("address: local\nstorage: 1\n")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe\x00")

    lines = [(Path(finding.path).name, finding.line) for finding in lint([tmp_path])]

    assert lines == [("a.yaml", 3), ("b.yaml", 2), ("c.bin", 1)]


def test_a_file_that_is_named_twice_is_told_of_once(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("storage: 1\n")

    assert len(lint([tmp_path, tmp_path / "a.yaml"])) == 1


def test_prose_is_linted_only_where_it_is_named(tmp_path) -> None:
    (tmp_path / "README.md").write_text("# Hello")

    assert lint([tmp_path]) == []
    assert "of no known kind" in lint([tmp_path / "README.md"])[0].text


def test_a_path_where_nothing_is_is_refused(tmp_path) -> None:
    with pytest.raises(JobError, match="nothing is no file and no folder"):
        lint([tmp_path / "nothing"])
