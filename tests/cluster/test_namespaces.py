"""A run on two hosts with addresses, processes and mounts of their own: network namespaces."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tune_jobs.engine import open_experiment

ALONE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

# Addresses and a port that only these hosts see.
ADDRESSES = ("198.51.100.1", "198.51.100.2")
PORT = 26390

# How long the link is down; after 65 s Ray gives a node up that does not answer.
CUT = 60


class Host:
    """A network, mounts and processes of its own, which end with the process that holds them."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env
        folder.mkdir()
        self._holder = subprocess.Popen([*ALONE, "cat"], stdin=subprocess.PIPE)
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        while not (found := children.read_text().split()) or not _is_cat(found[0]):
            time.sleep(0.01)
        self.pid = found[0]
        self.enter = ["nsenter", "--target", self.pid, "--net", "--mount", "--pid"]
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str) -> None:
        """Run a command on this host."""
        env = {**self._env, "RAY_TMPDIR": str(self._folder)}
        subprocess.run([*self.enter, *command], check=True, env=env, capture_output=True)

    def start_ray(self, *options: str) -> None:
        ray = str(Path(sys.executable).with_name("ray"))
        size = ["--num-cpus=2", "--num-gpus=0", "--object-store-memory=100000000"]
        self.run(ray, "start", f"--temp-dir={self._folder / 'ray'}", *size, *options)

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture(scope="module")
def hosts(short_path, token_env) -> Iterator[tuple[Host, Host]]:
    with _two_hosts(short_path, token_env) as hosts:
        yield hosts


@pytest.fixture
def site(hosts, make_site):
    """Where a driver runs on the first host."""
    return make_site(hosts[0].enter)


@pytest.fixture
def drive(site) -> Callable[..., subprocess.Popen]:
    def drive(**profile: object) -> subprocess.Popen:
        return site.drive(f"{ADDRESSES[0]}:{PORT}", **profile)

    return drive


@contextmanager
def _two_hosts(folder: Path, env: dict[str, str]) -> Iterator[tuple[Host, Host]]:
    """A head and a worker, joined by a cable."""
    if not _can_make_hosts():
        pytest.skip("needs root, iproute2 and unshare")
    with ExitStack() as stack:
        first, second = (stack.enter_context(Host(folder / name, env)) for name in ("a", "b"))
        _join(first, second)
        head = ["--head", f"--port={PORT}", "--include-dashboard=false"]
        first.start_ray(*head, f"--node-ip-address={ADDRESSES[0]}")
        second.start_ray(f"--address={ADDRESSES[0]}:{PORT}", f"--node-ip-address={ADDRESSES[1]}")
        yield first, second


def _join(first: Host, second: Host) -> None:
    """Lay a cable between two hosts."""
    ends = ["eth0", "netns", first.pid, "type", "veth", "peer", "name", "eth0"]
    subprocess.run(["ip", "link", "add", *ends, "netns", second.pid], check=True)
    for host, address in zip((first, second), ADDRESSES, strict=True):
        host.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")


def _is_cat(process: str) -> bool:
    return Path(f"/proc/{process}/comm").read_text().strip() == "cat"


def _can_make_hosts() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return False
    return subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0


def test_a_run_uses_workers_on_both_hosts(site, drive) -> None:
    site.gate.touch()
    driver = drive()
    site.wait_for(lambda: site.waiting == 4, driver)
    site.gate.unlink()
    result = site.end(driver)

    assert result["exit_code"] == 0, result["errors"]
    assert {note["address"] for note in site.notes} == set(ADDRESSES)
    assert_nothing_is_lost_or_doubled(site)


def test_storage_that_is_not_shared_is_refused_before_a_trial(hosts, site, drive) -> None:
    results = str(site.folder / "results")
    hosts[1].run("mount", "-t", "tmpfs", "tmpfs", results)
    result = site.end(drive())
    hosts[1].run("umount", results)

    assert result["exit_code"] == 2
    assert "not shared" in result["errors"]
    assert ADDRESSES[1] in result["errors"]
    assert site.notes == []
    assert not (site.folder / "results" / "test" / "history").exists()


@pytest.mark.slow
def test_a_link_that_is_down_for_a_minute_costs_no_trial(hosts, site, drive) -> None:
    site.gate.touch()
    driver = drive()
    site.wait_for(lambda: site.waiting == 4, driver)
    hosts[0].run("ip", "link", "set", "eth0", "down")
    time.sleep(CUT)
    hosts[0].run("ip", "link", "set", "eth0", "up")
    site.gate.unlink()
    result = site.end(driver)

    assert result["exit_code"] == 0, result["errors"]
    assert_nothing_is_lost_or_doubled(site)


@pytest.mark.slow
def test_a_host_that_cannot_be_reached_is_given_up_and_its_trial_goes_on(
    short_path, token_env, make_site
) -> None:
    (short_path / "others").mkdir()
    with _two_hosts(short_path / "others", token_env) as (first, _):
        site = make_site(first.enter)
        site.gate.touch()
        driver = site.drive(f"{ADDRESSES[0]}:{PORT}", max_concurrent_trials=2)
        site.wait_for(lambda: site.waiting == 2, driver)
        (away,) = {note["trial"] for note in site.notes if note["address"] == ADDRESSES[1]}
        first.run("ip", "link", "set", "eth0", "down")
        site.wait_for(lambda: any(note["start"] for note in site.notes), driver)
        site.gate.unlink()
        result = site.end(driver)

    assert result["exit_code"] == 0, result["errors"]
    again = [note for note in site.notes if note["start"]]
    assert {(note["trial"], note["start"], note["address"]) for note in again} == {
        (away, 2, ADDRESSES[0])
    }
    assert_nothing_is_lost_or_doubled(site)


def assert_nothing_is_lost_or_doubled(site) -> None:
    found = open_experiment(str(site.folder / "results" / "test"))
    assert found.trials["trial"].tolist() == [1, 2, 3, 4]
    assert set(found.trials["state"]) == {"complete"}
    assert found.epochs.groupby("trial")["epoch"].apply(list).tolist() == [[1, 2, 3, 4]] * 4
