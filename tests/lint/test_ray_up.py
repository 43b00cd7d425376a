"""`ray up` files: the shipped ones pass, and each trap is caught with its line."""

import re
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler._private.util import prepare_config, validate_config

from tune_jobs.lint.linting import lint
from tune_jobs.lint.located import read_documents
from tune_jobs.lint.parts import Part
from tune_jobs.lint.ray_nodes import SETUPS, find_requirements

ROOT = Path(__file__).parent.parent.parent
SHIPPED = sorted((ROOT / "cluster/ray").glob("*.yaml"))


@dataclass
class Trap:
    """One entry of ``ray_up_traps.txt``: a shipped file's lines, changed, and what is expected."""

    name: str
    lines: list[str]
    at: int = 0
    changed: int | None = None
    place: str | None = None
    message: str = ""
    expected: int = field(init=False, default=0)

    def find(self, text: str, start: int = 0) -> int:
        for number in range(start, len(self.lines)):
            if self.lines[number].strip().startswith(text):
                return number
        raise ValueError(f"{self.name}: no line begins with {text!r}")

    def go(self, text: str) -> None:
        self.at = self.find(text, self.at) + 1

    def drop(self, text: str) -> None:
        start = self.find(text.removesuffix(" ..."), self.at)
        end = start + 1
        while text.endswith("...") and end < len(self.lines) and self.lines[end].strip():
            end += 1
        self.lines[start:end] = []
        self.at = start

    def put(self, text: str) -> None:
        self.lines.insert(self.at, text)
        self.change(self.at)
        self.at += 1

    def replace(self, text: str) -> None:
        old, new = (text + " ").split(" => ", 1)
        for number in range(self.at, len(self.lines)):
            if old in self.lines[number]:
                self.lines[number] = self.lines[number].replace(old, new[:-1], 1)
                self.change(number)
                return
        raise ValueError(f"{self.name}: no line has {old!r}")

    def change(self, number: int) -> None:
        self.changed = number if self.changed is None else self.changed

    def expect(self, message: str) -> None:
        self.message = message
        if self.place is None:
            self.expected = (self.changed or 0) + 1
            return
        text, _, below = self.place.partition(" +")
        self.expected = self.find(text) + 1 + int(below or 0)


def read_traps() -> list[Trap]:
    traps: list[Trap] = []
    for line in Path(__file__).with_name("ray_up_traps.txt").read_text().splitlines():
        mark, text = line[:1], line[2:]
        if mark in ("", "#"):
            continue
        if line[:2] not in ("> ", "- ", "+ ", "s ", "@ ", "! "):
            name = line.split(":")[0]
            traps.append(Trap(line, (ROOT / f"cluster/ray/{name}.yaml").read_text().splitlines()))
        elif mark == "@":
            traps[-1].place = text
        else:
            trap = traps[-1]
            {">": trap.go, "-": trap.drop, "+": trap.put, "s": trap.replace, "!": trap.expect}[
                mark
            ](text)
    return traps


def findings_of(path: Path) -> list:
    return list(lint([path], {})[0].findings)


def written(folder: Path, text: str) -> Path:
    """A file near the lock file of this repository."""
    (folder / "requirements.lock").symlink_to(ROOT / "requirements.lock")
    path = folder / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_passes(path) -> None:
    assert findings_of(path) == []


@pytest.mark.parametrize("trap", read_traps(), ids=lambda trap: trap.name)
def test_each_trap_is_caught_at_its_line(trap, tmp_path) -> None:
    path = written(tmp_path, "\n".join(trap.lines) + "\n")

    findings = findings_of(path)

    assert [finding.line for finding in findings] == [trap.expected], findings
    assert trap.message in findings[0].text
    assert "\n" not in str(findings[0])
    assert str(findings[0]).startswith(f"{path}:{trap.expected}: ")


@pytest.mark.parametrize(
    "text",
    [
        "provider: aws",
        "provider: {}",
        "provider: {type: [aws]}",
        "provider: {type: aws, region: 1}\navailable_node_types: []",
        "provider: {type: aws, region: r}\navailable_node_types: {a: }\nhead_node_type: [a]",
        "provider: {type: aws, region: r}\nsetup_commands: 1\nhead_start_ray_commands: {a: 1}",
        "provider: {type: gcp}\navailable_node_types: {1: {node_config: {scheduling: [1]}}}",
        "provider: {type: local, worker_ips: 3, head_ip: 1}\nfile_mounts: [a]\ndocker: x",
        "provider: {type: external, module: a.b}",
        "1: 2",
    ],
)
def test_a_file_of_the_wrong_shape_is_described_rather_than_a_crash(tmp_path, text) -> None:
    findings = findings_of(written(tmp_path, f"cluster_name: a\n{text}\n"))

    assert findings
    assert not [finding for finding in findings if "\n" in finding.text]


def test_all_mistakes_are_reported_at_once(tmp_path) -> None:
    text = (ROOT / "cluster/ray/aws.yaml").read_text()
    broken = text.replace("max_workers: 8 ", "max_wokers: 8 ").replace("keras==", "keras==3,>=")

    findings = findings_of(written(tmp_path, broken))

    assert len(findings) == 2
    assert findings == sorted(findings)


def test_any_other_image_is_trusted_to_hold_what_it_needs(tmp_path) -> None:
    text = (ROOT / "cluster/ray/aws.yaml").read_text()
    text = text.replace("rayproject/ray:2.60.0-py311", "example.invalid:5000/tune-jobs:0.1.0")
    text = re.sub(r"^setup_commands:.*?\n\n", "setup_commands: []\n\n", text, flags=re.M | re.S)

    assert findings_of(written(tmp_path, text)) == []


def test_a_set_up_from_the_lock_file_has_its_versions(tmp_path) -> None:
    text = (ROOT / "cluster/ray/on_premises.yaml").read_text()
    install = "~/env/bin/pip install --require-hashes -r ~/requirements.lock"
    setup = f"setup_commands: [python3.11 -m venv ~/env, {install}]\n\n"
    text = re.sub(r"^setup_commands:.*?\n\n", setup, text, flags=re.M | re.S)

    assert findings_of(written(tmp_path, text)) == []


def test_without_a_lock_file_the_versions_are_those_installed_here(tmp_path) -> None:
    text = (ROOT / "cluster/ray/aws.yaml").read_text().replace("keras==3.15.1", "keras==3.0.0")
    (tmp_path / "aws.yaml").write_text(text)

    (finding,) = findings_of(tmp_path / "aws.yaml")

    assert f"all nodes need keras=={metadata.version('keras')}" in finding.text


def test_rays_own_check_is_still_where_it_was_and_as_lenient(tmp_path) -> None:
    path = ROOT / "cluster/ray/aws.yaml"
    (document,) = read_documents(path, path.read_text())
    content = document.content
    content["docker"]["image"] = "rayproject/ray:latest"
    content["head_start_ray_commands"] = ["ray start --head"]

    validate_config(prepare_config(content))  # if it raises, a rule of ours has become Ray's

    content["max_workers"] = -1
    with pytest.raises(Exception, match="minimum"):
        validate_config(prepare_config(content))


def test_rays_defaults_are_still_the_trap_that_we_say_they_are() -> None:
    for provider, dashboard in (("aws", "0.0.0.0"), ("gcp", "0.0.0.0"), ("local", None)):
        config = {"cluster_name": "a", "provider": {"type": provider, "region": "r"}}
        config["provider"] |= {"head_ip": "h", "worker_ips": []} if provider == "local" else {}
        prepared = prepare_config(config)
        head = " ".join(prepared["head_start_ray_commands"])

        assert re.findall(r"--dashboard-host=(\S+)", head) == [dashboard][: bool(dashboard)]
        assert "RAY_AUTH" not in head
        assert ("3.0.0.dev0" in " ".join(prepared["setup_commands"])) == (provider != "local")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_file_installs_all_that_tune_jobs_requires(path) -> None:
    (document,) = read_documents(path, path.read_text())
    commands = [each for key in SETUPS for each in Part(document).parts(key)]
    installed = {
        canonicalize_name(each.name)
        for command in commands
        for each in find_requirements(command.text())
    }
    requirements = map(Requirement, metadata.requires("tune-jobs") or [])
    needed = {canonicalize_name(each.name) for each in requirements if "extra" not in str(each)}

    assert needed <= installed
