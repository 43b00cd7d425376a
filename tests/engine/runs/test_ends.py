"""What a run does when it ends: in the thread that leaves the block, or in another one."""

import subprocess
import sys

import pytest

from tune_jobs.engine.runs.ends import Ends

# Ends a process whose main thread hangs; what is done says so.
HANGS = """
import sys, threading
from contextlib import contextmanager
from tune_jobs.engine.errors import ClusterError, JobError
from tune_jobs.engine.runs.ends import Ends

@contextmanager
def saying(word):
    try:
        yield
    except BaseException as error:
        print(word, type(error).__name__, error, flush=True)
        {raised}
        raise

def conclude(error):
    print("conclude", type(error).__name__, flush=True)
    return 9

def end():
    ends.end_process(ClusterError("died"), lambda: print("at last", flush=True))

with Ends(conclude={conclude}) as outer:
    outer.enter_context(saying("outer"))
    with Ends(outer) as ends:
        ends.enter_context(saying("inner"))
        threading.Thread(target=end).start()
        {hangs}
"""


FOREVER = "threading.Event().wait()"
UNTIL_TAKEN = "while not ends._untaken.locked(): pass"


def run_it(
    raised: str = "pass", conclude: str = "conclude", hangs: str = FOREVER
) -> tuple[int, str, str]:
    code = HANGS.format(raised=raised, conclude=conclude, hangs=hangs)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_another_thread_does_it_and_ends_the_process() -> None:
    said = "inner ClusterError died\nouter ClusterError died\nconclude ClusterError\nat last\n"

    assert run_it() == (9, said, "")


def test_what_is_done_may_change_the_error() -> None:
    code, said, errors = run_it("raise KeyboardInterrupt('stop')", "None")

    assert (code, errors) == (7, "error: stop\n")
    assert said == "inner ClusterError died\nouter KeyboardInterrupt stop\nat last\n"


def test_by_default_one_line_says_why() -> None:
    code, _, errors = run_it(conclude="None")

    assert (code, errors) == (9, "error: died\n")


def test_a_thread_that_comes_back_waits_for_the_end() -> None:
    code, said, _ = run_it("__import__('time').sleep(0.5)", hangs=UNTIL_TAKEN)

    assert code == 9
    assert said.count("inner") == said.count("outer") == 1


def test_it_is_done_once() -> None:
    done: list[str] = []
    with pytest.raises(ValueError, match="bad"), Ends() as ends:
        ends.callback(done.append, "done")
        raise ValueError("bad")
    ends.end_process(ValueError("late"), lambda: done.append("at last"))

    assert done == ["done"]
