"""Slurm scripts: the shipped one passes, and each trap is caught at its line."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tune_jobs.engine.errors import JobError
from tune_jobs.lint.sbatch import lint_sbatch
from tune_jobs.lint.sbatch_options import LETTERS, TAKES

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "cluster" / "slurm" / "ray.sbatch"
TOP = "#SBATCH --job-name"
START = "exec ray start"
RUN = 'tune-jobs run "$job"'

SYMMETRIC = """#!/bin/bash
#SBATCH -N 2 --exclusive -t 1:00:00 --requeue
#SBATCH --signal=B:USR1@300
set -e
trap 'scontrol requeue $SLURM_JOB_ID' USR1
export RAY_TMPDIR=/tmp/r$SLURM_JOB_ID RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.ray/token
port=$((20000 + SLURM_JOB_ID % 12000))
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
srun ray symmetric-run --address "$head:$port" -- \\
    tune-jobs run digits_cnn_asha --name digits --resume
test -f results/digits/summary.json
"""

# What is replaced in the shipped script, by what, the text whose line is named, and the message.
TRAPS = {
    "no bash": ("#!/usr/bin/env bash", "# bash", "# bash", "sbatch wants one such as #!/usr"),
    "syntax": ("\twait \"$driver\" || code=$?\n", "\twait )\n", "wait )", "bash cannot read it"),
    "late": ("patience=300\n", "#SBATCH --comment=late\n", None, "is ignored by Slurm"),
    "misspelled": ("--gpus-per-node=4", "--gpu-per-node=4", None, "did you mean 'gpus-per-node'"),
    "unknown letter": ("--ntasks-per-node=1 ", "-Z 1 ", None, "sbatch has no option '-Z'"),
    "no value": ("--nodes=2", "--nodes", "#SBATCH --nodes", "--nodes needs a value"),
    "quotation": ("--nodes=2", "--nodes='2", None, "sbatch cannot read it: no closing quotation"),
    "shared": ("#SBATCH --exclusive ", "# ", TOP, "--exclusive is absent"),
    "shared by user": ("--exclusive ", "--exclusive=user ", None, "shares nodes between jobs"),
    "no time": ("#SBATCH --time=12:00:00\n", "", TOP, "--time is absent"),
    "no signal": ("#SBATCH --signal=B:USR1@300 ", "# ", TOP, "--signal is absent"),
    "to the steps": ("B:USR1@300", "USR1@300", None, "goes to the steps, not to this script"),
    "short": ("B:USR1@300", "B:USR1@60", None, "--signal leaves 60 s"),
    "default lead": ("B:USR1@300", "B:USR1", "--signal=B:USR1 ", "--signal leaves 60 s"),
    "odd signal": ("B:USR1@300", "B:USR1@soon", None, "must be such as B:USR1@300"),
    "no trap": ("B:USR1@300", "B:USR2@300", None, "no trap waits for it"),
    "no requeue": ("#SBATCH --requeue\n", "", TOP, "#SBATCH --requeue is absent"),
    "refused": ("--requeue\n", "--no-requeue\n", None, "write --requeue"),
    "time limit": ('scontrol requeue "$', 'echo "$', TOP, "no `scontrol requeue`"),
    "no resume": (" --resume", "", RUN, "`tune-jobs run` without --resume"),
    "no name": ('--name "$name" ', "", RUN, "`tune-jobs run` without --name"),
    "fixed port": ("--port=\"$port\"", "--port=6379", None, "port 6379 is the same for all jobs"),
    "assigned port": ("port=$((20000 + SLURM_JOB_ID % 12000))", "port=7000", None, "port 7000 is"),
    "fixed address": ("$address:$port", "$address:6379", None, "port 6379 is the same"),
    "default port": (' --port="$port"', "", START, "`ray start --head` without --port takes 6379"),
    "default folder": ("export RAY_TMPDIR", "export RAY_TEMP", START, "Ray takes /tmp/ray"),
    "one folder": ("/tmp/ray-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}", "/tmp/ray-mine", None,
                   "Ray's folder /tmp/ray-mine is the same for all jobs"),
    "shared folder": ("/tmp/ray-$SLURM_JOB_ID", "$HOME/ray-$SLURM_JOB_ID", None, "not a node's"),
    "long folder": ("/tmp/ray-", "/tmp/of/all/the/rays/of/the/search-", None, "is long"),
    "no token": ("export RAY_AUTH_MODE=token\n", "", START, "RAY_AUTH_MODE=token is absent"),
    "any token": ("export RAY_AUTH_TOKEN_PATH=", "path=", START, "RAY_AUTH_TOKEN_PATH is absent"),
    "ray stop": ("\trm -f ", "\tray stop\n\trm -f ", "ray stop\n", "ends every Ray of the machine"),
    "srun's code": (RUN, f"srun -N1 {RUN}", None, "srun's exit code is not the search's"),
    "hidden code": ('"$@" &\ndriver', '"$@" || true &\ndriver', RUN, "hides how the search ended"),
    "no set -e": ("set -euo pipefail", "set -u", RUN, "without `set -e`"),
    "secret": ("patience=300\n", "export WANDB_API_KEY=01\n", None, "WANDB_API_KEY is written"),
    "exported secret": ("--mem=0 ", "--export=ALL,DB_PASSWORD=x ", None, "DB_PASSWORD is written"),
    "token in sight": ("patience=300\n", "export RAY_AUTH_TOKEN=$(cat t)\n", None,
                       "RAY_AUTH_TOKEN shows in process lists"),
    "relative": (":-$SLURM_SUBMIT_DIR/results}", ":-results}", None, "'results' is relative"),
    "another Ray": ("patience=300\n", "pip install 'ray[default]==2.49.0'\n", None,
                    "ray[default]==2.49.0, but all nodes need ray=="),
}  # fmt: skip
SYMMETRIC_TRAPS = {
    "wait": ("export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300\n", "", "srun ray", "waits 30 s"),
    "short wait": ("TIMEOUT=300", "TIMEOUT=30", None, "is 30, too short"),
    "marker": ("test -f results/digits/summary.json\n", "", "srun ray", "exits with 0 where Ray"),
    "storage": ("--resume\n", "--storage out \\\n  --resume\n", "--storage", "'out' is relative"),
}


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def check(text: str, trap: tuple, file: Path) -> None:
    old, new, at, message = trap
    assert text.count(old) >= 1
    broken = text.replace(old, new, 1)
    file.write_text(broken)
    shutil.copy(ROOT / "requirements.lock", file.parent)
    added = new.strip().splitlines()[-1] if at is None else at

    (finding,) = lint_sbatch(file)

    assert finding.line == line_of(broken, added)
    assert message in finding.text


def test_the_shipped_script_has_no_finding() -> None:
    assert lint_sbatch(SHIPPED) == []


def test_symmetric_run_with_all_that_it_needs_has_no_finding(tmp_path) -> None:
    (tmp_path / "job.sbatch").write_text(SYMMETRIC)

    assert lint_sbatch(tmp_path / "job.sbatch") == []


@pytest.mark.parametrize("name", TRAPS)
def test_a_broken_script_is_caught_at_its_line(name, tmp_path) -> None:
    check(SHIPPED.read_text(), TRAPS[name], tmp_path / "job.sbatch")


@pytest.mark.parametrize("name", SYMMETRIC_TRAPS)
def test_a_broken_symmetric_run_is_caught_at_its_line(name, tmp_path) -> None:
    check(SYMMETRIC, SYMMETRIC_TRAPS[name], tmp_path / "job.sbatch")


def test_a_script_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(JobError, match="absent cannot be read"):
        lint_sbatch(tmp_path / "absent")


def test_a_letter_stands_for_an_option_that_there_is() -> None:
    assert set(LETTERS.values()) <= TAKES.keys()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_has_nothing_to_say_of_the_shipped_script() -> None:
    subprocess.run(["shellcheck", SHIPPED], check=True)
