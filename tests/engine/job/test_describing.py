"""What is written down of a run: the commit of the code that it runs."""

import importlib.util
import subprocess

from tune_jobs.engine.job.describing import find_commit


def git(folder, *words: str) -> str:
    about = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    ran = subprocess.run(["git", "-C", folder, *about, *words], capture_output=True, text=True)
    return ran.stdout.strip()


def load(path):
    spec = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.train


def test_the_commit_is_that_of_the_trainables_repository_and_says_what_was_changed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def train(config, data): ...\n")
    assert find_commit(load(file)) is None

    git(tmp_path, "init")
    git(tmp_path, "add", "mine.py")
    git(tmp_path, "commit", "-m", "first")
    head = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    assert head
    assert find_commit(load(file)) == head
    file.write_text("def train(config, data): return 1\n")
    assert find_commit(load(file)) == f"{head}+"


def test_a_function_without_a_file_has_no_commit() -> None:
    assert find_commit(len) is None  # Ray puts a function of its own in place of print
