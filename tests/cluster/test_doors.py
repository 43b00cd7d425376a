"""The doors for KerasTuner's and scikit-learn's programs, whose trials run on a cluster."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.mark.slow
def test_a_program_trains_on_the_nodes_of_a_cluster(cluster, nodes, short_path, token_env) -> None:
    node = nodes(num_cpus=2)
    folder = short_path / "doors"
    for name in ("notes", "results"):
        (folder / name).mkdir(parents=True)
    for name in ("program.py", "program_models.py"):
        shutil.copy(HERE / name, folder)

    ran = subprocess.run(
        [sys.executable, "program.py", cluster.address, folder / "results", folder / "notes"],
        cwd=folder,
        env={**token_env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["loss"] == pytest.approx(found["score"], rel=1e-4)
    counts = {name: found[name] for name in ("tuned", "searched", "predicted")}
    assert counts == {"tuned": 2, "searched": 2, "predicted": 60}
    assert all(path.startswith("compiled") for path in found["path"])
    assert {note.read_text() for note in (folder / "notes").iterdir()} == {node}
