"""A local Ray that outlives a run, for the next run of the process."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

PROGRAM = """
import os, ray
from tune_jobs.engine import Profile
from tune_jobs.engine.cluster.connection import connect, ray_of
from tune_jobs.engine.cluster.kept import end_kept, kept_ray
from tune_jobs.engine.cluster.local_ray import stop_local
from tune_jobs.engine.ray_internals import own_node
from tune_jobs.engine.trials.warm_workers import call_in_worker

def where(profile=Profile(), **options):
    with ray_of(profile, [], **options):
        return own_node().session.name, call_in_worker(lambda: os.getpid(), profile=profile)

first, second = where(is_kept=True), where(is_kept=True)
assert first == second, (first, second)
assert ray.is_initialized()

node = own_node()
with ray_of(Profile(), []):  # a run that keeps nothing itself uses it all the same
    assert own_node().session == node.session
    with ray_of(Profile(env={"A": "b"}), []):  # while it is used, no other run ends it
        assert own_node().session == node.session

other = where(Profile(env={"A": "b"}))
assert other[0] != first[0]
assert kept_ray() is None and not ray.is_initialized()

connect(Profile(), [])  # of a Ray that somebody else has started, the workers are kept
node = own_node()
first, second = where(is_kept=True), where(is_kept=True)
assert first == second and first[0] == node.session.name
assert not kept_ray().is_owned
end_kept()
assert ray.is_initialized()

with ray_of(Profile(), []):  # a run's own workers end with it
    first, second = where(), where()
    assert first == second and first[0] == node.session.name
assert kept_ray() is None and ray.is_initialized()
assert where()[1] != first[1]
stop_local()

last = where(is_kept=True)
print(own_node().session)
print(*own_node().processes.values())
"""


def test_runs_share_a_kept_ray_unless_they_need_another_one() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    session, processes = ran.stdout.strip().splitlines()[-2:]
    assert not Path(session).exists()  # it ended with the process
    for pid in processes.split():
        assert not Path(f"/proc/{pid}").exists()
