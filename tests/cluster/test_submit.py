"""Searches that are submitted to a real head, through its Jobs API, with a token."""

import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tune_jobs.engine import JobError, Profile, load_profile
from tune_jobs.engine.cluster.submit.jobs_api import JobsApi

ROOT = Path(__file__).parents[2]

JOB = '''"""Arithmetic that takes its time; no third trial begins while a file is there."""

import os
import pathlib
import time

from ray import tune

from tune_jobs.engine import Job, RandomSearch


def train(config, data):
    hold = pathlib.Path(os.environ.get("HOLD", "no such file"))
    while int(tune.get_context().get_trial_id()) > 2 and hold.exists():
        time.sleep(0.05)
    for epoch in range(1, 4):
        time.sleep(float(os.environ.get("PAUSE", "0.05")))
        if config["x"] > {most}:
            raise ValueError("too large")
        tune.report({{"loss": config["x"] ** 2 / epoch, "training_iteration": epoch}})


JOB = Job(
    trainable=train,
    space={{"x": tune.uniform(-1, 1)}},
    metric="loss",
    mode="min",
    searcher=RandomSearch(),
    num_samples=4,
    max_epochs=3,
    finalists=None,
)
'''


@dataclass(frozen=True)
class Cluster:
    """A head that runs, and the folder of somebody who submits to it."""

    folder: Path
    token_file: Path
    address: str
    gcs_address: str

    def tune_jobs(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        # A Ray that this process has started for another test leaves its mode behind.
        env = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
        return subprocess.run(
            [sys.executable, "-m", "tune_jobs", *words],
            capture_output=True,
            text=True,
            cwd=cwd or self.folder,
            env=env,
            timeout=180,
        )

    def trials(self, experiment: str) -> list[dict]:
        shown = self.tune_jobs("show", str(self.folder / "store" / experiment), "--json")
        return json.loads(shown.stdout)


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with its Jobs API on loopback, ended by its process group's number alone."""
    with tempfile.TemporaryDirectory(prefix="tj") as short:
        folder = Path(short, "user")
        folder.mkdir()
        token_file = Path(short, "token")
        token_file.touch(mode=0o600)
        token_file.write_text(uuid.uuid4().hex * 2)
        port, gcs_port = free_port(), free_port()
        head = start_head(Path(short, "ray"), token_file, port, gcs_port)
        try:
            addresses = f"http://127.0.0.1:{port}", f"127.0.0.1:{gcs_port}"
            found = Cluster(folder, token_file, *addresses)
            (folder / "search.py").write_text(JOB.format(most=2))
            (folder / "failing.py").write_text(JOB.format(most=-2))
            (folder / "cluster.yaml").write_text(profile_of(found))
            wait_for(found, head)
            yield found
        finally:
            head.terminate()
            try:
                head.wait(60)
            finally:
                end_group(head.pid)


def end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def start_head(temp: Path, token_file: Path, port: int, gcs_port: int) -> subprocess.Popen[bytes]:
    ports = {"port": gcs_port, "dashboard-port": port, "ray-client-server-port": free_port()}
    words = [f"--{name}={number}" for name, number in ports.items()]
    words += ["--dashboard-host=127.0.0.1", f"--temp-dir={temp}", "--num-cpus=2", "--block"]
    words += ["--dashboard-agent-listen-port=0", "--include-dashboard=true"]
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return subprocess.Popen(
        [Path(sys.executable).parent / "ray", "start", "--head", *words],
        env=env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(cluster: Cluster, head: subprocess.Popen[bytes]) -> None:
    for _ in range(120):
        assert head.poll() is None, "the head has ended"
        ran = cluster.tune_jobs("status", "--profile", "cluster.yaml")
        if ran.returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(ran.stderr)


def profile_of(cluster: Cluster, **changed: str) -> str:
    facts = {
        "address": "auto",
        "jobs_api": cluster.address,
        "token_file": str(cluster.token_file),
        "storage": str(cluster.folder / "store"),
        "max_concurrent_trials": "2",
        **changed,
    }
    return "".join(f"{name}: {value}\n" for name, value in facts.items() if value)


def test_a_search_is_submitted_followed_and_attached_to(cluster) -> None:
    words = ["submit", "search.py", "--profile", "cluster.yaml", "--name", "first"]
    first = cluster.tune_jobs(*words, "--wait")
    again = cluster.tune_jobs(*words, "--wait")
    status = cluster.tune_jobs("status", "first", "--profile", "cluster.yaml", "--json")
    everything = cluster.tune_jobs("status", "--profile", "cluster.yaml")

    assert first.returncode == 0, first.stderr + first.stdout
    assert "trial 4 of 4 complete" in first.stdout
    assert "submitted first-1: new experiment first" in first.stderr
    assert again.returncode == 0
    assert "attached to first  attempt 1, complete" in again.stderr
    assert "trial 4 of 4 complete" in again.stdout
    told = json.loads(status.stdout)
    assert (status.returncode, told["attempt"], told["exit_code"]) == (0, 1, 0)
    assert "first  attempt 1, complete" in everything.stdout
    assert cluster.tune_jobs("logs", "first", "--profile", "cluster.yaml").stdout == first.stdout


@pytest.mark.slow
def test_more_trials_for_a_search_that_is_done_are_another_attempt(cluster) -> None:
    words = ["submit", "search.py", "--profile", "cluster.yaml", "--name", "grown", "--wait"]
    cluster.tune_jobs(*words)
    more = cluster.tune_jobs(*words, "--num-samples", "6")

    assert more.returncode == 0, more.stderr + more.stdout
    assert "submitted grown-2: continuing experiment grown" in more.stderr
    assert "trial 6 of 6 complete" in more.stdout
    assert "trial 1 of 6" not in more.stdout


@pytest.mark.slow
def test_a_job_that_fails_exits_as_it_would_here_and_is_tried_again(cluster) -> None:
    words = ["submit", "failing.py", "--profile", "cluster.yaml", "--wait"]
    ran, again = cluster.tune_jobs(*words), cluster.tune_jobs(*words)
    status = cluster.tune_jobs("status", "failing", "--profile", "cluster.yaml")

    assert ran.returncode == 5, ran.stderr + ran.stdout
    assert "ValueError: too large" in ran.stdout
    assert "failing-2" in again.stderr
    assert again.returncode == status.returncode == 4  # the trial that was left has failed too
    assert "attempt 2, nothing usable" in status.stdout


@pytest.mark.slow
def test_a_stopped_search_keeps_its_trials_and_goes_on_when_submitted_again(cluster) -> None:
    words = ["submit", "search.py", "--profile", "slow.yaml", "--name", "stopped"]
    words += ["--num-samples", "8"]
    hold = cluster.folder / "hold"
    hold.touch()
    (cluster.folder / "slow.yaml").write_text(profile_of(cluster) + f"env: {{HOLD: '{hold}'}}\n")
    submitted = cluster.tune_jobs(*words)
    known = ["stopped", "--profile", "cluster.yaml"]
    other = cluster.tune_jobs(*words, "--seed", "7")
    while "trial 2 of 8" not in cluster.tune_jobs("logs", *known).stdout:
        time.sleep(0.5)
    attached = cluster.tune_jobs(*words)
    stopped = cluster.tune_jobs("stop", *known)
    before = cluster.tune_jobs("logs", *known).stdout
    hold.unlink()
    resumed = cluster.tune_jobs(*words, "--wait")

    assert submitted.returncode == 0
    assert f"tune-jobs logs {shlex.join(known[:1])} --profile slow.yaml" in submitted.stdout
    assert other.returncode == 2
    assert "is running on the cluster with other options" in other.stderr
    assert "attached to stopped  attempt 1, running" in attached.stderr
    assert "attempt 1, interrupted" in stopped.stdout
    assert "--name stopped" in before
    assert resumed.returncode == 0, resumed.stderr + resumed.stdout
    finished = [n for n in range(1, 9) if f"trial {n} of 8 complete" in before]
    assert finished
    assert not [n for n in finished if f"trial {n} of 8 complete" in resumed.stdout]
    assert cluster.trials("stopped")["trials"] == {"complete": 8}


@pytest.mark.slow
def test_ctrl_c_detaches_or_stops_as_the_user_says(cluster) -> None:
    words = ["submit", "search.py", "--profile", "slow.yaml", "--num-samples", "50", "--wait"]
    (cluster.folder / "slow.yaml").write_text(profile_of(cluster) + "env: {PAUSE: '0.8'}\n")
    detached, said = on_a_terminal(cluster, [*words, "--name", "asked"], b"d\n")
    assert "[d]etach and leave the search running, or [s]top it" in said
    assert detached == 0
    known = ["asked", "--profile", "cluster.yaml"]
    assert "running" in cluster.tune_jobs("status", *known).stdout

    code, said = on_a_terminal(cluster, [*words, "--name", "asked"], b"s\n")
    assert "stopping; trials save their checkpoints first" in said
    assert code == 7
    assert "interrupted" in cluster.tune_jobs("status", *known).stdout


def on_a_terminal(cluster: Cluster, words: list[str], answer: bytes) -> tuple[int, str]:
    """Follow until a trial has ended, press Ctrl-C and answer."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tune_jobs", *words],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        cwd=cluster.folder,
        start_new_session=True,
        # A shell lets what it starts in the background ignore SIGINT, these tests included.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(secondary)
    said = b""
    try:
        while b"trial 1 of" not in said and b"trial 2 of" not in said:
            said += os.read(primary, 4096)
        process.send_signal(signal.SIGINT)
        while b"[s]top it" not in said:
            said += os.read(primary, 4096)
        os.write(primary, answer)
        while chunk := os.read(primary, 4096):
            said += chunk
    except OSError:  # the other end is closed: the process has ended
        pass
    finally:
        os.close(primary)
    return process.wait(60), said.decode()


@pytest.mark.slow
def test_the_line_that_a_dry_run_prints_is_rays_own_command(cluster) -> None:
    words = ["submit", "search.py", "--profile", "cluster.yaml", "--name", "plain"]
    line = cluster.tune_jobs(*words, "--dry-run").stdout
    ran = subprocess.run(
        f"PATH={Path(sys.executable).parent}:$PATH; {line.strip()}",
        shell=True,
        cwd=cluster.folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    attached = cluster.tune_jobs(*words, "--wait")
    assert "attached to plain  attempt 1" in attached.stderr
    assert attached.returncode == 0


@pytest.mark.parametrize(
    ("changed", "message", "code"),
    [
        ({"jobs_api": "http://127.0.0.1:9"}, "no cluster answers at http://127.0.0.1:9", 9),
        ({"token_file": ""}, "requires a token", 2),
        ({"token_file": "../wrong"}, "does not accept the token", 2),
        ({"token_file": "../readable"}, "has mode 0644, so other users can read it", 2),
        ({"token_file": "absent"}, "'absent' cannot be read: No such file", 2),
        ({"storage": "results"}, "storage is 'results', but must be a URI or an absolute path", 2),
        ({"jobs_api": ""}, "the profile has no jobs_api", 2),
        ({"address": "local"}, "is not a cluster (address: local)", 2),
        ({"env": "{AWS_SECRET_ACCESS_KEY: hush}"}, "env.AWS_SECRET_ACCESS_KEY looks like", 2),
    ],
    ids=lambda value: str(next(iter(value.items()))) if isinstance(value, dict) else "",
)
def test_what_lies_between_here_and_the_cluster_is_one_line(
    cluster, changed, message, code
) -> None:
    for name, mode in (("wrong", 0o600), ("readable", 0o644)):
        (cluster.folder.parent / name).write_text("another-token")
        (cluster.folder.parent / name).chmod(mode)
    (cluster.folder / "other.yaml").write_text(profile_of(cluster, **changed))

    ran = cluster.tune_jobs("submit", "search.py", "--profile", "other.yaml", "--name", "no")

    assert message in ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ran.returncode == code
    assert "hush" not in ran.stderr
    assert "another-token" not in ran.stderr


def test_neither_the_token_nor_its_path_reaches_the_job(cluster) -> None:
    words = ["submit", "search.py", "--profile", "cluster.yaml", "--name", "first", "--wait"]
    printed = cluster.tune_jobs(*words)
    assert printed.returncode == 0, printed.stderr
    token = cluster.token_file.read_text()
    api = JobsApi(load_profile(str(cluster.folder / "cluster.yaml")))
    assert token not in api.find("first-1").model_dump_json()
    assert token not in printed.stdout + printed.stderr
    written = [path for path in (cluster.folder / "store").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if token.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_cluster_is_examined_from_here_and_from_its_nodes(cluster) -> None:
    ran = cluster.tune_jobs("doctor", "--profile", "cluster.yaml")
    (cluster.folder / "large.yaml").write_text(profile_of(cluster, gpus_per_trial="1"))
    large = cluster.tune_jobs("doctor", "--profile", "large.yaml")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "reachable, token accepted, Ray" in ran.stderr
    assert "max_concurrent_trials is 2" in ran.stdout
    assert large.returncode == 2
    assert "a trial of 1 CPU and 1 GPU does not fit on any node" in large.stdout


@pytest.mark.slow
def test_a_run_joins_a_cluster_with_its_token_and_says_why_where_it_cannot(cluster) -> None:
    words = ["run", "search.py", "--profile", "join.yaml", "--num-samples", "2"]
    (cluster.folder / "wrong").write_text("another-token")
    (cluster.folder / "wrong").chmod(0o600)
    for token_file, code in ((str(cluster.token_file), 0), ("wrong", 2)):
        joined = profile_of(cluster, address=cluster.gcs_address, token_file=token_file)
        (cluster.folder / "join.yaml").write_text(joined)
        ran = cluster.tune_jobs(*words, "--name", f"joined-{code}")
        assert ran.returncode == code, ran.stdout + ran.stderr
    assert "refused the connection; token_file in the profile" in ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    nobody = profile_of(cluster, address=f"127.0.0.1:{free_port()}")
    (cluster.folder / "join.yaml").write_text(nobody)
    ran = cluster.tune_jobs(*words, "--name", "nobody")
    assert (ran.returncode, ran.stderr.count("\n")) == (9, 1), ran.stderr
    assert "no cluster answers at 127.0.0.1" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "docs/clusters.md"])
def test_the_commands_that_the_documents_show_work_in_turn(cluster, tmp_path, document) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [
        line
        for block in blocks
        for line in block.splitlines()
        if line.startswith("tune-jobs ") and "--profile gpu_cluster" in line
    ]
    (tmp_path / "cluster/profiles").mkdir(parents=True)
    (tmp_path / "cluster/profiles/gpu_cluster.yaml").write_text(profile_of(cluster))
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        if "JOB = Job(" in code:
            (tmp_path / "my_model.py").write_text(code)
    small = ["--num-samples", "2", "--max-epochs", "2", "--set", "finalists.scores=2"]

    for command in commands:
        words = shlex.split(command)[1:]
        ran = cluster.tune_jobs(*words, *(small if words[0] == "submit" else []), cwd=tmp_path)
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        if "--wait" in words:
            assert "best.keras" in ran.stdout
    assert {command.split()[1] for command in commands} >= {"doctor", "submit", "status"}


class AnotherRay(BaseHTTPRequestHandler):
    """The Jobs API of a cluster of another version."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"ray_version": "2.40.0"}).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_cluster_of_another_version_is_refused_with_both_versions() -> None:
    with HTTPServer(("127.0.0.1", 0), AnotherRay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(JobError, match=r"runs Ray 2.40.0, but Ray 2.\d+.\d+ is installed"):
            JobsApi(Profile(address="auto", jobs_api=url, storage="/shared"))
        server.shutdown()
