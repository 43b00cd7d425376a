"""Jobs are modules: found by name in ``tune_jobs``, by dotted name, or by the path of a file."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tune_jobs.engine.errors import JobError, mistake_of_exit
from tune_jobs.engine.names import nearest

if TYPE_CHECKING:
    from tune_jobs.engine.job.job import Job, MakeTuner

PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Imported:
    """A module that the user named: its short name, and the folders that it imports from."""

    name: str
    module: ModuleType
    import_paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A job module that was found: its short name, its JOB or tuner(), and where it lies."""

    name: str
    job: Job | MakeTuner
    import_paths: tuple[str, ...] = ()


def list_jobs() -> dict[str, str]:
    """List the jobs of ``tune_jobs`` with the first line of their docstrings; none is imported."""
    files = [path for path in PACKAGE.glob("*.py") if not path.stem.startswith("_")]
    return {path.stem: _first_line(path) for path in sorted(files)}


def find_job(name: str) -> Found:
    """Import a job module and take its ``JOB``, or its ``tuner`` function.

    Raises:
        JobError: if there is no such module, it cannot be imported, or it defines neither.
    """
    found = import_module(name)
    with _mistakes(name):
        return Found(found.name, job_of(found.module), found.import_paths)


def import_module(name: str) -> Imported:
    """Import a module by its short name, its dotted name or its path.

    Raises:
        JobError: if there is no such module, or it cannot be imported.
    """
    if name.endswith(".py"):
        return _load_file(Path(name))
    dotted = name if "." in name else f"tune_jobs.{name}"
    if "." not in name and name not in list_jobs():
        raise JobError(f"no job named {name!r}{nearest(name, list_jobs())} {_known()}")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        with _mistakes(dotted):
            return Imported(dotted.rsplit(".", 1)[-1], importlib.import_module(dotted))
    except JobError as mistake:
        lacking = getattr(mistake.__cause__, "name", None)
        if isinstance(mistake.__cause__, ModuleNotFoundError) and dotted.startswith(lacking or "."):
            raise JobError(f"no module named {dotted!r}; {_known()}") from None
        raise


def _load_file(path: Path) -> Imported:
    """Import a file, so that workers get its functions by value and its neighbours by path."""
    from ray import cloudpickle

    if not path.is_file():
        near = [str(other) for other in path.parent.glob("*.py")]
        raise JobError(f"no such job file: {str(path)!r}{nearest(str(path), near)}")
    folder = str(path.parent.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise JobError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    previous, sys.modules[path.stem] = sys.modules.get(path.stem), module
    try:
        with _mistakes(str(path)):
            spec.loader.exec_module(module)
    except JobError:
        _put_back(path.stem, previous)
        raise
    cloudpickle.register_pickle_by_value(module)
    return Imported(path.stem, module, (folder,))


def root_of(module: ModuleType) -> Path | None:
    """Return the folder that a module is imported from: around its package, if it is in one."""
    file = getattr(module, "__file__", None)
    if not file:
        return None
    depth = module.__name__.count(".") + hasattr(module, "__path__")
    return Path(file).absolute().parents[depth]


def _put_back(name: str, previous: ModuleType | None) -> None:
    if previous is None:
        del sys.modules[name]
    else:
        sys.modules[name] = previous


def job_of(module: ModuleType) -> Job | MakeTuner:
    """Return the ``JOB`` of a module, or its ``tuner`` function.

    Raises:
        JobError: if it defines neither.
    """
    from tune_jobs.engine.job.job import Job

    job = getattr(module, "JOB", None)
    if isinstance(job, Job):
        return job
    tuner = getattr(module, "tuner", None)
    if callable(tuner):
        return tuner  # type: ignore[no-any-return]
    raise JobError(
        "defines neither JOB = Job(...) nor tuner(profile, name)"
        if job is None
        else f"JOB is {job!r}, but must be a Job"
    )


@contextmanager
def _mistakes(where: str) -> Iterator[None]:
    """Turn what a user's module raises into one line, the end of the process included.

    Raises:
        JobError: naming the module and the line.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        raise _import_failure(where, error) from error


def _import_failure(where: str, error: BaseException) -> JobError:
    """Return the mistake in a user's module, with its line."""
    if isinstance(error, SyntaxError):
        return JobError(f"{where}, line {error.lineno}: {error.msg}")
    stem = Path(where).name if where.endswith(".py") else f"{where.rsplit('.', 1)[-1]}.py"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).name == stem
    ]
    place = f"{where}, line {lines[-1]}" if lines else where
    if isinstance(error, SystemExit):
        error = mistake_of_exit(error)
    message = " ".join(str(error).split())
    kind = "" if isinstance(error, JobError) else f"{type(error).__name__}: "
    return JobError(f"{place}: {kind}{message}")


def _known() -> str:
    return f"Jobs: {', '.join(list_jobs())}; or give the path of a file"


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return docstring.splitlines()[0] if docstring else ""
