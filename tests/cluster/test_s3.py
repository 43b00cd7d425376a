"""Storage in S3, served by moto on loopback: searches, crashes and commands as in a folder.

The commands are run as a user runs them, with the endpoint in the environment.
"""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from sklearn.datasets import load_breast_cancer

from tune_jobs.engine import JobError, open_experiment
from tune_jobs.engine.experiments.history.records import Attempt, Epoch, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import (
    MERGED,
    SegmentWriter,
    merge_all,
    read_segments,
)
from tune_jobs.engine.experiments.holder import find_holder
from tune_jobs.engine.experiments.lease import leased
from tune_jobs.engine.recurring.series import folder_of
from tune_jobs.engine.storage.folder import Folder, open_folder

ROOT = Path(__file__).parents[2]

# Dummies: moto takes any.
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

# Notes every epoch that is really trained, as "<trial> <epoch>".
JOB = """
import pathlib
import tempfile
import time

from ray import tune

from tune_jobs.engine import Job, RandomSearch


def train(config, data):
    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int(pathlib.Path(folder, "epoch").read_text())
    for epoch in range(start + 1, config["max_epochs"] + 1):
        time.sleep(0.1)
        with pathlib.Path(config["log"]).open("a") as log:
            log.write(f"{int(tune.get_context().get_trial_id())} {epoch}\\n")
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch").write_text(str(epoch))
            loss = config["x"] + 1 / epoch
            tune.report({"loss": loss}, checkpoint=tune.Checkpoint.from_directory(folder))


JOB = Job(
    train,
    {"x": tune.uniform(0, 1), "log": "LOG"},
    metric="loss",
    searcher=RandomSearch(),
    num_samples=16,
    max_epochs=3,
    finalists=None,
)
"""


class Store:
    """A server of S3 in a process of its own."""

    def __init__(self, place: Path) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with (place / "moto.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait()

    def ask(self, method: str, path: str, body: bytes | None = None) -> None:
        """Send a request of no credentials."""
        headers = {"Content-Type": "text/plain"}
        with urlopen(Request(f"{self.url}/{path}", body, headers, method=method), timeout=10):
            pass

    def _wait(self) -> None:
        for _ in range(600):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("moto does not listen")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Store]:
    """S3 on loopback, and an environment in which this process and its children find it."""
    store = Store(tmp_path_factory.mktemp("moto"))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in KEYS.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", store.url)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "127.0.0.1")
        yield store
    store.process.kill()
    store.process.wait()


@pytest.fixture
def bucket(store, request) -> str:
    """The URI of a bucket of the test's own."""
    name = "b" + "".join(filter(str.isalnum, request.node.name.lower()))[-50:]
    store.ask("PUT", name)
    return f"s3://{name}"


def with_query(store: Store, uri: str) -> str:
    return f"{uri}?endpoint_override=127.0.0.1:{store.port}&scheme=http&region=us-east-1"


def command(*words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tune_jobs", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=check,
        env={**os.environ, **env},
    )


def write_history(folder: Folder, trials: int) -> None:
    """Write a history as a run does, a segment a trial."""
    folder.create()
    about = {"metric": "loss", "mode": "min", "max_epochs": 1, "trainable": "m.train"}
    folder.write_json("experiment.json", about)
    writer = SegmentWriter(folder)
    writer.append(Attempt(about, trials))
    for number in range(1, trials + 1):
        writer.append(TrialStart(number, {"x": number}, number))
        writer.append(Epoch(number, 0, 1, 0.1, {"loss": 1 / number}))
        writer.append(TrialEnd(number, "complete", None, None))
        writer.flush()


def test_a_history_in_s3_is_written_under_a_lease_shown_and_merged(store, bucket) -> None:
    folder = open_folder(bucket).child("night 1")

    with leased(folder):
        write_history(folder, MERGED + 6)
        holder = find_holder(folder)
        assert holder is not None
        assert holder.life == "running"
        shown = command("show", with_query(store, folder.uri), "--json", AWS_ENDPOINT_URL="")
    trials = json.loads(shown.stdout)["all_trials"]

    assert find_holder(folder) is None
    assert [trial["value"] for trial in trials] == [1 / n for n in range(1, MERGED + 7)]
    assert [name.count("jsonl") for name in folder.child("history").names()].count(1) == 7
    assert merge_all(folder).problems == []
    assert len(list(read_segments(folder).records())) == 1 + 3 * (MERGED + 6)
    assert folder.child("history").names()[0].endswith(".jsonl.gz")


def test_a_series_in_s3_is_listed_expected_and_cleaned(store, bucket) -> None:
    storage, where = open_folder(bucket), with_query(store, bucket)
    for day in (27, 28):
        folder = storage.child(f"nightly-2026-11-{day}")
        write_history(folder, 2)
        ended = time.time() - 86400 * (28 - day)
        folder.write_json("summary.json", {"outcome": "complete", "ended": ended, "trials": {}})
        folder.write("best.keras", b"a model")
        folder.child("trials/00001/checkpoint_000000").write("weights", bytes(1000))
    series = folder_of("nightly-{slot}", "job", bucket)
    with leased(series), leased(storage.child("nightly-2026-11-29")):
        listed = command("ls", "--storage", where, "--json").stdout.splitlines()
        came = command("ls", "--storage", where, "--expect", "nightly", "--within", "1h").stdout
        cleaned = command("clean", "--storage", where, "--keep-last", "1", "--yes").stdout

    states = {entry["name"]: entry["state"] for entry in map(json.loads, listed)}
    assert states == {
        "nightly-2026-11-29": "running",
        "nightly-2026-11-28": "complete",
        "nightly-2026-11-27": "complete",
    }
    assert came.startswith("nightly-2026-11-28 ended")
    assert cleaned.startswith("nightly-2026-11-27  1000 B: checkpoints")
    kept = [storage.child(f"nightly-2026-11-{day}").exists("trials") for day in (27, 28)]
    assert kept == [False, True]
    assert storage.child("nightly-2026-11-27").exists("best.keras")


def test_a_bucket_that_is_not_there_is_named(store, bucket) -> None:
    began = time.monotonic()
    with pytest.raises(JobError, match="bucket 'nowhere' does not exist; create it first"):
        open_folder("s3://nowhere/results")

    assert time.monotonic() - began < 5


def test_an_endpoint_that_nobody_serves_is_one_line_soon() -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(JobError, match=r"Could not connect.*check the endpoint ") as caught:
        open_folder(f"s3://bucket/p?endpoint_override=127.0.0.1:{port}&scheme=http&region=r")

    assert time.monotonic() - began < 15
    assert "\n" not in str(caught.value)


def test_credentials_that_the_store_does_not_know_are_one_line(store, bucket) -> None:
    store.ask("POST", "moto-api/reset-auth", b"0")
    try:
        ran = command("show", f"{bucket}/night", check=False)
    finally:
        store.ask("POST", "moto-api/reset-auth", b"inf")

    assert ran.returncode == 2
    assert "check the credentials of this process" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert "testing" not in ran.stderr


class Busy(BaseHTTPRequestHandler):
    """A store that answers the first request, and is too busy for the next six."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_HEAD(self) -> None:
        Busy.asked += 1
        self.send_response(503 if 1 < Busy.asked <= 7 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_store_that_is_busy_is_asked_again_also_by_a_worker(store) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            where = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=r"
            sent = pickle.loads(pickle.dumps(open_folder(f"s3://bucket/p?{where}")))
            assert sent.exists("x")
        finally:
            server.shutdown()
            serving.join()

    assert Busy.asked == 8


def test_an_experiment_that_is_not_in_the_bucket_is_named(store, bucket) -> None:
    ran = command("show", f"{bucket}/night", check=False)

    assert (ran.returncode, ran.stderr) == (2, f"error: no experiment at '{bucket}/night'\n")


WANTING = """
import sys, time
from tune_jobs.engine.experiments.lease import TakenError, leased
from tune_jobs.engine.storage.folder import open_folder
folder = open_folder(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with leased(folder, 1.0):
        print("held", flush=True)
        sys.stdin.readline()
except TakenError as error:
    print("refused", error, flush=True)
"""


def test_of_many_processes_that_want_an_experiment_in_s3_one_holds_it(store, bucket) -> None:
    words = [sys.executable, "-c", WANTING, f"{bucket}/night"]
    runs = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(6)
    ]
    try:
        assert [run.stdout.readline() for run in runs] == ["ready\n"] * 6
        for run in runs:
            run.stdin.write("\n")
            run.stdin.flush()
        outcomes = [run.stdout.readline().split()[0] for run in runs]
        assert Counter(outcomes) == {"held": 1, "refused": 5}
        holder = runs[outcomes.index("held")]
        holder.kill()  # it gives nothing back
        holder.wait()
        with leased(open_folder(f"{bucket}/night"), 1.0):
            pass
    finally:
        for run in runs:
            run.kill()
            run.communicate()


class Driver:
    """A run of the command line in a process of its own."""

    def __init__(self, place: Path, storage: str, *options: str) -> None:
        (place / "job.py").write_text(JOB.replace("LOG", str(place / "log")))
        profile = {"storage": storage, "max_concurrent_trials": 1}
        (place / "profile.yaml").write_text(json.dumps(profile))
        words = [sys.executable, "-m", "tune_jobs", "run", str(place / "job.py"), "--json"]
        words += ["--profile", str(place / "profile.yaml"), "--name", "night", *options]
        self.place = place
        self.process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )

    def ends(self) -> Iterator[int]:
        """The number of each trial as it ends."""
        for line in self.process.stderr:
            event = json.loads(line) if line.startswith("{") else {"kind": line}
            if event["kind"] == "end":
                yield event["trial"]

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def trained(self) -> Counter:
        """How often each epoch of each trial was trained."""
        return Counter((self.place / "log").read_text().splitlines())


@pytest.fixture
def drive(tmp_path) -> Iterator:
    """Start a driver; whatever happens, none is left behind."""
    drivers = []

    def drive(storage: str, *options: str) -> Driver:
        drivers.append(Driver(tmp_path, storage, *options))
        return drivers[-1]

    yield drive
    for driver in drivers:
        driver.end()


@pytest.mark.slow
def test_a_search_in_s3_whose_driver_is_killed_goes_on_and_repeats_nothing(
    store, bucket, drive
) -> None:
    storage = with_query(store, f"{bucket}/results")
    driver, finished = drive(storage), []
    for number in driver.ends():
        finished.append(number)
        if len(finished) == 5:
            break
    driver.end()

    driver = drive(storage, "--resume")
    later = list(driver.ends())

    assert driver.process.wait(60) == 0
    assert not set(finished) & set(later)
    assert sorted([*finished, *later]) == list(range(1, 17))
    trained = driver.trained()
    assert all(trained[f"{number} {epoch}"] == 1 for number in finished for epoch in (1, 2, 3))
    shown = json.loads(command("show", f"{bucket}/results/night", "--json").stdout)
    assert (shown["outcome"], len(shown["all_trials"])) == ("complete", 16)
    assert open_experiment(f"{bucket}/results/night").problems == []


@pytest.mark.slow
def test_a_store_that_is_silent_for_some_seconds_costs_a_search_nothing(
    store, bucket, drive
) -> None:
    driver, finished = drive(f"{bucket}/results"), []
    for number in driver.ends():
        finished.append(number)
        if len(finished) == 3:
            store.process.send_signal(signal.SIGSTOP)
            time.sleep(6)
            store.process.send_signal(signal.SIGCONT)

    assert driver.process.wait(60) == 0
    assert finished == list(range(1, 17))
    assert set(driver.trained().values()) == {1}
    assert open_experiment(f"{bucket}/results/night").problems == []


@pytest.mark.slow
def test_a_model_that_was_searched_in_s3_predicts_from_there(store, bucket, tmp_path) -> None:
    load_breast_cancer(as_frame=True).data.to_parquet(tmp_path / "new.parquet")
    options = ["--num-samples", "3", "--max-epochs", "4", "--finalists", "0"]

    command("run", "breast_cancer_random", *options, "--storage", bucket, "--name", "night")
    said = command(
        "predict", f"{bucket}/night", str(tmp_path / "new.parquet"), str(tmp_path / "out.csv")
    ).stdout

    assert said == f"569 predictions in {tmp_path / 'out.csv'}\n"
    command("export", f"{bucket}/night", str(tmp_path / "model.keras"))
    assert open_folder(f"{bucket}/night").read("best.keras") == (
        (tmp_path / "model.keras").read_bytes()
    )
    assert f"{bucket}/night/report.html" in command("report", f"{bucket}/night").stdout
