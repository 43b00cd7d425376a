"""Measure what a search costs in S3, in requests and seconds, against a local folder.

    python -m benchmarks.storage --trials 40 --checkpoints 0 1 9 --latency 0 40

An arithmetic search of 9 epochs under ASHA with two workers, each epoch taking 50 ms, is run in a
folder and in S3 (moto's server, which delays each request by the latency), with a checkpoint of 100
KiB after the given number of epochs of each trial. The server counts the requests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks import report

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.history.records import Event

EPOCHS, SECONDS, BYTES, WORKERS = 9, 0.05, 100 * 1024, 2
BUCKET = "benchmark"
# Dummies: the server takes any.
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}


def train(config: dict[str, Any], data: object) -> None:
    """Report nine epochs, the last ``checkpoints`` of them with a checkpoint."""
    from ray import tune

    for epoch in range(1, EPOCHS + 1):
        time.sleep(SECONDS)
        result = {"loss": config["x"] + 1 / epoch}
        if epoch <= config["checkpoints"]:
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "weights").write_bytes(os.urandom(BYTES))
                tune.report(result, checkpoint=tune.Checkpoint.from_directory(folder))
        else:
            tune.report(result)


def search(place: str, trials: int, checkpoints: int) -> dict[str, float]:
    """Search in this process; return how long the trials took, and how long the end took."""
    from ray import tune

    from tune_jobs.engine import ASHA, Job, Profile, RandomSearch, run
    from tune_jobs.engine.experiments.history.records import TrialEnd, TrialStart

    times: list[float] = []

    def listen(event: Event | None) -> None:
        if isinstance(event, TrialStart | TrialEnd):
            times.append(time.perf_counter())

    job = Job(
        train,
        {"x": tune.uniform(0, 1), "checkpoints": checkpoints},
        metric="loss",
        searcher=RandomSearch(),
        scheduler=ASHA(),
        num_samples=trials,
        max_epochs=EPOCHS,
        finalists=None,
    )
    began = time.perf_counter()
    profile = Profile(storage=place, max_concurrent_trials=WORKERS)
    run(job, profile=profile, name="search", listeners=[listen])
    ended = time.perf_counter()
    return {"trials": times[-1] - times[0], "after": ended - times[-1], "whole": ended - began}


def serve(port_file: Path, latency: float) -> None:
    """Serve S3 on a free port until killed; ``GET /requests`` returns the requests so far."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)
    asked: Counter[str] = Counter()

    def counted(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/requests":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(asked).encode()]
        asked[_kind(environ)] += 1
        time.sleep(latency)
        return application(environ, start_response)

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    port_file.with_suffix(".new").write_text(str(server.server_port))
    port_file.with_suffix(".new").rename(port_file)
    server.serve_forever()


def _kind(environ: Any) -> str:
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    if method == "GET" and "list-type" in query:
        return "LIST"
    return "PUT" if method == "POST" and "delete" not in query else method


def search_in_s3(command: list[str], latency: float) -> dict[str, float]:
    """Run a command's search in a bucket, and add the requests by kind."""
    from urllib.request import Request, urlopen

    with tempfile.TemporaryDirectory() as place:
        port = Path(place, "port")
        words = [sys.executable, "-m", "benchmarks.storage", "--serve", str(port)]
        server = subprocess.Popen([*words, "--latency", str(latency)], stderr=subprocess.DEVNULL)
        try:
            while not port.exists():
                time.sleep(0.05)
            url = f"http://127.0.0.1:{port.read_text()}"
            urlopen(Request(f"{url}/{BUCKET}", method="PUT")).close()
            found = _run([*command, "--place", f"s3://{BUCKET}/results"], AWS_ENDPOINT_URL=url)
            with urlopen(f"{url}/requests") as answer:
                return found | json.load(answer)
        finally:
            server.kill()
            server.wait()


def _run(command: list[str], **env: str) -> dict[str, float]:
    ran = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **KEYS, **env}
    )
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--checkpoints", nargs="+", type=int, default=[0, 1, EPOCHS])
    parser.add_argument("--latency", nargs="+", type=float, default=[0, 40], metavar="MS")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.latency[0] / 1000)
    if options.place:
        print(json.dumps(search(options.place, options.trials, options.checkpoints[0])))
        return
    rows = []
    for checkpoints in options.checkpoints:
        words = ["--trials", str(options.trials), "--checkpoints", str(checkpoints)]
        command = [sys.executable, "-m", "benchmarks.storage", *words]
        with tempfile.TemporaryDirectory() as place:
            found = _run([*command, "--place", place])
        rows.append({"storage": "folder", "checkpoints": checkpoints, **found})
        for latency in options.latency:
            found = search_in_s3(command, latency)
            name = f"S3, {latency:g} ms"
            rows.append({"storage": name, "checkpoints": checkpoints, **found})
    kinds = ("PUT", "GET", "HEAD", "LIST", "DELETE")
    seconds = ("trials", "after", "whole")
    shown = [
        [row["storage"], row["checkpoints"]]
        + [f"{row[name]:.1f}" for name in seconds]
        + [row.get(kind, 0) for kind in kinds]
        for row in rows
    ]
    header = ["storage", "checkpoints", "trials s", "afterwards s", "whole run s", *kinds]
    report.show(f"a search of {options.trials} trials", header, shown)
    if options.out:
        report.save(pd.DataFrame(rows), options.out)
    report.state()


if __name__ == "__main__":
    main()
