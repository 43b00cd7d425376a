"""Dockerfiles: the shipped one passes, and each trap is caught at its line."""

import shutil
from pathlib import Path

import pytest

from tune_jobs.engine.errors import JobError
from tune_jobs.lint.dockerfile import lint_dockerfile
from tune_jobs.lint.versions import read_versions

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "cluster" / "Dockerfile"
RAY = read_versions(SHIPPED)["ray"]
TENSORFLOW = read_versions(SHIPPED)["tensorflow"]
FROM = f"FROM rayproject/ray:{RAY}-py311"
LAST = "    && tune-jobs list\n"

# What is replaced in the shipped file, by what, and the message at the line of what is new.
TRAPS = {
    "another Ray": (FROM, "FROM rayproject/ray:2.49.0-py311", f"all nodes need Ray {RAY}"),
    "another Python": (FROM, f"FROM rayproject/ray:{RAY}-py39", "has Python 3.9"),
    "no Python": (FROM, f"FROM rayproject/ray:{RAY}", "must name Ray and Python"),
    "latest": (FROM, "FROM rayproject/ray:latest", "must name Ray and Python"),
    "another's latest": (FROM, "FROM python:latest", "may be another one tomorrow"),
    "no tag": (FROM, "FROM registry.example:5000/node", "may be another one tomorrow"),
    "dead": (FROM, "FROM rayproject/ray-ml:2.30.0-py311", "ends with Ray 2.30"),
    "nightly image": (FROM, "FROM rayproject/ray:nightly-py311", "another one every night"),
    "an argument": (FROM, "ARG RAY=2.49.0\nFROM rayproject/ray:${RAY}-py311", "2.49.0-py311, but"),
    "misspelled": ("WORKDIR ", "WORKDIIR ", "no instruction 'WORKDIIR'; did you mean 'WORKDIR'"),
    "open version": (LAST, "    && pip install \\\n      optuna\n", "pip installs 'optuna' in"),
    "range": (LAST, "    && uv pip install 'optuna>=4'\n", "pip installs 'optuna>=4' in whatever"),
    "pinned otherwise": (LAST, "    && pip install keras==3.0.0\n", "keras==3.0.0, but all nodes"),
    "wild Ray": (LAST, "    && pip install ray==2.*\n", "ray==2.*, but all nodes need ray=="),
    "another TensorFlow": (
        LAST,
        "    && pip install tensorflow[and-cuda]==2.19.1\n",
        f"all nodes need tensorflow=={TENSORFLOW}",
    ),
    "no CUDA": (LAST, f"    && pip install tensorflow=={TENSORFLOW}\n", "train on CPUs"),
    "nightly package": (LAST, "    && pip install tf-nightly\n", "another one every night"),
    "after a comment": (LAST, "    # a comment\n    && pip install rich\n", "pip installs 'rich'"),
    "in a script": (LAST, LAST + "RUN <<END\necho a\npip install rich\nEND\n", "installs 'rich'"),
    "secret": ("KERAS_BACKEND=", "RAY_AUTH_TOKEN=1 K=", "ENV RAY_AUTH_TOKEN: whoever has"),
    "old secret": ("WORKDIR", "ENV DB_PASSWORD x y\nWORKDIR", "ENV DB_PASSWORD"),
    "secret argument": ("WORKDIR", "ARG PIP_TOKEN\nWORKDIR", "ARG PIP_TOKEN stays in the image"),
    "secret file": ("WORKDIR", "COPY .netrc /root/\nWORKDIR", "COPY .netrc: whoever has the image"),
    "root": ("USER 1000", "USER root", "the node runs as 'root'"),
}
# The part of what is new whose line is named, where it is not its first line.
SHOWN = {
    "an argument": "FROM rayproject/ray:${RAY}",
    "open version": "      optuna",
    "after a comment": "    && pip install rich",
    "in a script": "pip install rich",
}


def write(text: str, folder: Path) -> Path:
    (folder / "cluster").mkdir()
    for name in ("requirements.lock", "cluster/requirements-node.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "cluster" / "Dockerfile").write_text(text)
    return folder / "cluster" / "Dockerfile"


def test_the_shipped_file_has_no_finding() -> None:
    assert lint_dockerfile(SHIPPED) == []


@pytest.mark.parametrize("name", TRAPS)
def test_a_broken_file_is_caught_at_its_line(name, tmp_path) -> None:
    old, new, message = TRAPS[name]
    text = SHIPPED.read_text()
    assert text.count(old) == 1
    broken = text.replace(old, new)
    shown = SHOWN.get(name, new.split("\n")[0])

    findings = lint_dockerfile(write(broken, tmp_path))

    assert [finding.line for finding in findings] == [broken[: broken.index(shown)].count("\n") + 1]
    assert message in findings[0].text


def test_requirements_that_disagree_with_the_lock_file_are_caught(tmp_path) -> None:
    file = write(SHIPPED.read_text(), tmp_path)
    copied = file.parent / "requirements-node.txt"
    copied.write_text(copied.read_text().replace(f"\nray=={RAY}", "\nray==2.49.0"))

    (finding,) = lint_dockerfile(file)

    assert "ray==2.49.0, but all nodes need" in finding.text
    assert SHIPPED.read_text().splitlines()[finding.line - 1].startswith("COPY cluster/requ")


def test_an_image_whose_python_the_requirements_were_not_resolved_for_is_caught(tmp_path) -> None:
    file = write(SHIPPED.read_text().replace("py311", "py312"), tmp_path)

    findings = lint_dockerfile(file)

    assert any("scipy==" in finding.text for finding in findings)


def test_stages_digests_and_pinned_packages_have_no_finding(tmp_path) -> None:
    text = f"""ARG PYTHON=py311
FROM python@sha256:0123 AS wheel
RUN python -m pip wheel --wheel-dir /w .
FROM rayproject/ray:{RAY}-${{PYTHON:-py311}}-gpu AS node
COPY --from=wheel /w /w
RUN pip install --no-cache-dir -r requirements.lock && pip install --index-url https://x /w/a.whl \\
    # a comment between
    tensorflow=={TENSORFLOW} 'ray[default]=={RAY}'
USER root
RUN apt-get update
FROM node
ENV RAY_AUTH_TOKEN_PATH=/run/secrets/token GREETING="a token is mounted"
USER ray
"""
    assert lint_dockerfile(write(text, tmp_path)) == []


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(JobError, match="Dockerfile cannot be read"):
        lint_dockerfile(tmp_path / "Dockerfile")
