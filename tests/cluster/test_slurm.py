"""Slurm's script on a real Slurm: two nodes on this machine, each with processes of its own."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tune_jobs.engine import open_experiment

ROOT = Path(__file__).parent.parent.parent
HOSTS = Path(__file__).parent / "slurm_hosts.sh"
NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "ip", "unshare")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, NEEDED)),
        reason="needs root, iproute2, munge and Slurm (apt-get install slurm-wlm)",
    ),
]

# Notes each epoch that is trained, as "<trial> <epoch> <node>".
JOB = """
import os
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
        time.sleep(0.5)
        with pathlib.Path("LOG").open("a") as log:
            trial = int(tune.get_context().get_trial_id())
            log.write(f"{trial} {epoch} {os.uname().nodename}\\n")
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch").write_text(str(epoch))
            loss = config["x"] + 1 / epoch
            tune.report({"loss": loss}, checkpoint=tune.Checkpoint.from_directory(folder))


JOB = Job(
    train,
    {"x": tune.uniform(0, 1)},
    metric="loss",
    searcher=RandomSearch(),
    num_samples=30,
    max_epochs=4,
    finalists=None,
)
"""
PROFILE = "address: auto\nstorage: /absent\ngpus_per_trial: 0.5\nmax_concurrent_trials: 8\n"
# A ray whose workers do not start.
LAME = '#!/usr/bin/env bash\n[[ $* == *--head* ]] || exit 3\nexec "$REAL_RAY" "$@"\n'


class Slurm:
    """A folder that all hosts see, and commands run where sbatch works."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "job.py").write_text(JOB.replace("LOG", str(folder / "epochs")))
        (folder / "profile.yaml").write_text(PROFILE)
        (folder / "epochs").touch()

    def run(self, commands: str, **environment: str) -> str:
        """What the commands print; ``$SUBMIT`` submits the script for two nodes."""
        script = str(ROOT / "cluster" / "slurm" / "ray.sbatch")
        here = Path(sys.executable).parent
        words = ["bash", str(HOSTS), str(self.folder), sys.prefix, str(ROOT)]
        ended = subprocess.run(
            [*words, "--", "bash", "-euc", commands],
            capture_output=True,
            text=True,
            timeout=240,
            env={
                **os.environ,
                "PATH": f"{here}:{os.environ['PATH']}",
                "TUNE_JOBS_PROFILE": str(self.folder / "profile.yaml"),
                "SUBMIT": f"sbatch --parsable --gpus-per-node=1 {script} job.py",
                **environment,
            },
        )
        logs = [path.read_text() for path in self.folder.glob("tune-jobs-*.out")]
        assert ended.returncode == 0, "\n".join([ended.stderr, *logs])
        return ended.stdout

    def trained(self) -> list[tuple[int, int, str]]:
        """The trial, the epoch and the node of each epoch that was trained."""
        words = [line.split() for line in (self.folder / "epochs").read_text().splitlines()]
        return [(int(trial), int(epoch), node) for trial, epoch, node in words]


@pytest.fixture
def slurm(tmp_path) -> Slurm:
    return Slurm(tmp_path)


def test_a_search_whose_time_is_nearly_up_is_requeued_and_goes_on(slurm) -> None:
    said = slurm.run(
        """
        id=$($SUBMIT search)
        until (($(wc -l <epochs) > 30)); do sleep 0.2; done
        scancel --batch --signal=USR1 "$id"
        until [[ $(squeue --noheader --format=%T) == PENDING ]]; do sleep 0.2; done
        cp epochs before
        while squeue --noheader | grep -q .; do sleep 0.5; done
        scontrol show job "$id"
        srun --nodes=2 ls /tmp
        """
    )

    assert "JobState=COMPLETED" in said
    assert "Restarts=1" in said
    assert "ExitCode=0:0" in said
    found = open_experiment(str(slurm.folder / "results" / "search"))
    assert found.trials["state"].tolist() == ["complete"] * 30
    assert {node for _, _, node in slurm.trained()} == {"node1", "node2"}
    first = (slurm.folder / "before").read_text().splitlines()
    done = {int(line.split()[0]) for line in first if line.split()[1] == "4"}
    counts = Counter((trial, epoch) for trial, epoch, _ in slurm.trained() if trial in done)
    assert len(done) > 3
    assert len([each for each, count in counts.items() if count > 1]) <= 4  # ended while reporting
    assert [*(slurm.folder / ".state").iterdir()] == []  # the token is gone
    assert "ray-" not in said  # and so are Ray's folders


def test_a_node_on_which_ray_does_not_start_fails_the_job(slurm) -> None:
    (slurm.folder / "bin").mkdir()
    lame = slurm.folder / "bin" / "ray"
    lame.write_text(LAME)
    lame.chmod(0o755)

    said = slurm.run(
        """
        export PATH=$PWD/bin:$PATH
        id=$($SUBMIT search)
        while squeue --noheader | grep -q .; do sleep 0.2; done
        scontrol show job "$id"
        """,
        REAL_RAY=str(Path(sys.executable).parent / "ray"),
    )

    assert "JobState=FAILED" in said
    assert "ExitCode=1:0" in said
    assert slurm.trained() == []
