"""A Ray of this machine: nobody else reaches it, and nothing of it stays behind."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tune_jobs.engine.cluster import local_ray
from tune_jobs.engine.cluster.local_ray import remove_dead_sessions, wait_patiently
from tune_jobs.engine.errors import ClusterError
from tune_jobs.engine.experiments.claims import describe_self

# Prints what others could reach of a local Ray while it runs, and what is left after it.
LOOK = """
import json, os, pathlib, signal, stat, subprocess, sys
import ray, psutil
from tune_jobs.engine.cluster.connection import ray_of
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.ray_internals import own_node

def write(place):
    pathlib.Path(place).write_text("a checkpoint")
    return stat.S_IMODE(pathlib.Path(place).stat().st_mode)

os.umask(0o002)  # a team's, which may write to each other's files
with ray_of(Profile(), []):
    @ray.remote
    def work():
        return [signal.Signals(each).name for each in signal.pthread_sigmask(signal.SIG_BLOCK, [])]

    blocked = ray.get(work.remote())
    node, me = own_node(), psutil.Process()
    parts = [me, *me.children(recursive=True)]
    listening = [
        f"{part.name()} {each.laddr.ip}"
        for part in parts
        for each in part.net_connections("inet")
        if each.status == "LISTEN"
    ]
    found = {
        "listening": listening,
        "sessions": [os.getsid(part.pid) for part in parts[1:]],
        "own session": os.getsid(0),
        "folder": str(node.session),
        "mode of the folder": stat.S_IMODE(node.session.stat().st_mode),
        "authentication": [
            part.environ().get("RAY_AUTH_MODE")
            for part in parts
            if part.name() in ("gcs_server", "raylet")
        ],
        "secret": pathlib.Path.home().joinpath(".ray", "auth_token").read_text(),
        "imports of the dashboard": "aiohttp" in sys.modules,
        "blocked in a worker": blocked,
        "written by a worker": ray.get(ray.remote(write).remote(sys.argv[1])),
    }
_, left = psutil.wait_procs(parts[1:], timeout=30)  # they are dying
print(json.dumps(found | {"left": [part.pid for part in left]}))
"""


# Starts a local Ray whose raylet is stopped for longer than Ray waits.
SLOW = """
import logging, threading, time
import ray, psutil
from tune_jobs.engine.cluster.connection import ray_of
from tune_jobs.engine.job.profile import Profile

def hold_up():
    while True:
        for part in psutil.Process().children():
            if part.name() == "raylet":
                part.suspend()
                time.sleep(40)
                part.resume()
                return

logging.basicConfig(format="%(message)s")
threading.Thread(target=hold_up, daemon=True).start()
with ray_of(Profile(), []):
    print(ray.get(ray.remote(lambda: "started").remote()))
"""


# Runs before any Python program: the agent takes longer to start than a raylet would wait for it.
SLEEPING_AGENT = """
import sys, time
if any(each.endswith("/runtime_env/agent/main.py") for each in sys.orig_argv):
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_start_on_a_busy_machine_is_waited_for() -> None:
    ran = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True, check=True)

    assert ran.stdout == "started\n"
    assert ran.stderr == ("waiting: Ray has not started in 20 seconds; this machine is busy\n")


def test_a_start_does_not_wait_for_the_agent_of_runtime_environments(tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLEEPING_AGENT)
    start = (
        "from tune_jobs.engine.cluster.connection import ray_of\n"
        "from tune_jobs.engine.job.profile import Profile\n"
        "with ray_of(Profile(), []): print('started')"
    )
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-c", start],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "started\n", "")


@pytest.fixture(scope="module")
def looked(tmp_path_factory) -> dict:
    home = tmp_path_factory.mktemp("home")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    ran = subprocess.run(
        [sys.executable, "-c", LOOK, str(home / "checkpoint")],
        capture_output=True,
        text=True,
        check=True,
        env=env | {"HOME": str(home)},
    )
    assert ran.stderr == ""
    found = json.loads(ran.stdout.splitlines()[-1])
    return found | {"home": home}


def test_it_listens_on_the_loopback_address_alone(looked) -> None:
    addresses = {line.split()[-1].removeprefix("::ffff:") for line in looked["listening"]}

    assert len(looked["listening"]) >= 7  # of the driver, two servers, two agents, workers
    assert addresses == {"127.0.0.1"}


def test_it_asks_for_a_token_that_only_this_user_can_read(looked) -> None:
    token = looked["home"] / ".ray" / "auth_token"

    assert looked["authentication"] == ["token", "token"]
    assert len(looked["secret"]) == 64
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700


def test_only_this_user_can_read_its_session(looked) -> None:
    assert looked["mode of the folder"] == 0o700


def test_what_its_workers_write_has_the_umask_of_the_driver(looked) -> None:
    assert looked["written by a worker"] == 0o664


def test_signals_to_the_session_of_the_driver_do_not_reach_it(looked) -> None:
    assert looked["sessions"]
    assert looked["own session"] not in looked["sessions"]
    assert not {"SIGTERM", "SIGHUP"} & {*looked["blocked in a worker"]}


def test_the_driver_does_not_import_what_only_a_dashboard_needs(looked) -> None:
    assert not looked["imports of the dashboard"]


def test_nothing_of_it_is_left(looked) -> None:
    assert looked["left"] == []
    assert not Path(looked["folder"]).exists()


def test_a_token_that_others_could_read_is_closed_to_them(tmp_path, monkeypatch) -> None:
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir(mode=0o755)
    token.write_text("sesame")
    token.chmod(0o644)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(local_ray, "reload_environment", lambda: None)
    local_ray.use_own_token()

    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert token.read_text() == "sesame"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700


def test_only_sessions_of_dead_runs_of_ours_are_removed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(local_ray, "temp_folder", lambda: tmp_path)
    here = asdict(describe_self())
    owners = {
        "live": here,
        "dead": here | {"started": "1"},
        "another machine's": here | {"started": "1", "host": "elsewhere"},
        "another namespace's": here | {"started": "1", "boot": "another"},
        "damaged": {"pid": 1},
        "Ray's": None,
    }
    for name, owner in owners.items():
        (tmp_path / f"session_{name}" / "logs").mkdir(parents=True)
        if owner:
            (tmp_path / f"session_{name}" / "tune-jobs.json").write_text(json.dumps(owner))
    (tmp_path / "session_latest").symlink_to(tmp_path / "session_dead")
    remove_dead_sessions()

    left = {path.name.removeprefix("session_") for path in tmp_path.iterdir()}
    assert left == {*owners} - {"dead"}


def test_a_start_that_takes_long_is_waited_for_and_told_once(caplog) -> None:
    times = iter(range(0, 1000, 10))

    def look() -> str:
        if next(times) < 90:
            raise RuntimeError("not there")
        return "node"

    clock = iter(range(0, 1000, 10))
    assert wait_patiently(look, clock=lambda: next(clock), pause=0) == "node"
    assert [record.message for record in caplog.records] == [
        "waiting: Ray has not started in 20 seconds; this machine is busy"
    ]


def test_a_start_is_given_up_after_ten_minutes_or_when_a_part_of_it_ends() -> None:
    def look() -> None:
        raise RuntimeError("not there")

    clock = iter(range(0, 1000, 10))
    with pytest.raises(ClusterError, match="it was not ready after 600 seconds"):
        wait_patiently(look, clock=lambda: next(clock), pause=0)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(ClusterError, match=r"its python\S* ended"):
        wait_patiently(look, [ended], pause=0)
