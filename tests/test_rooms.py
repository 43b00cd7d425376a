"""The order of the rooms: a room imports only rooms listed before it, and no files import in loops.

Imports inside functions and for types count too.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = "tune_jobs.engine"

# Bottom up. A file of the engine that lies in no room belongs to the ground.
GROUND = "ground"
ROOMS = [
    GROUND,
    *("storage", "space", "data", "search", "job", "experiments", "analysis", "recurring"),
    *("resume", "cluster", "views", "trials", "finals", "report", "runs"),
]
MOST_MODULES = 15

# Bottom up: each package imports only those before it (and the engine no trainables: test_layers).
FLOORS = ["trainables", "engine", "lint", "keras_tuner", "sklearn", "cli"]

# ``Job.tuner`` is a plain ``ray.tune.Tuner`` in one line, so a job reaches up to what builds it; an
# experiment shows itself in a notebook as its report does.
EXCEPTIONS = {
    f"{ENGINE}.job.job": f"{ENGINE}.trials.tuner",
    f"{ENGINE}.experiments.experiment": f"{ENGINE}.report.notebook",
}


def list_modules(root: Path) -> dict[str, Path]:
    files = [*root.glob("tune_jobs/**/*.py"), *root.glob("trainables/**/*.py")]
    return {name_of(path.relative_to(root)): path for path in files}


def name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(root: Path) -> dict[str, set[str]]:
    """The modules of ours that each module imports, wherever in the file."""
    modules = list_modules(root)
    found: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [each if each in modules else node.module for each in inner]
            found[name] |= {each for each in names if each in modules and each != name}
        found[name].discard(EXCEPTIONS.get(name, ""))
    # The public face of the engine imports every room, on first use.
    found[ENGINE] = set()
    return found


def room_of(module: str) -> str | None:
    if not module.startswith(f"{ENGINE}."):
        return None
    first = module.removeprefix(f"{ENGINE}.").split(".")[0]
    return first if (ROOT / "tune_jobs" / "engine" / first).is_dir() else GROUND


def find_arrows_upwards(imports: dict[str, set[str]]) -> list[str]:
    found = []
    for module, others in imports.items():
        for other in others:
            here, there = room_of(module), room_of(other)
            if here is None or other == ENGINE:
                continue
            if there is None or ROOMS.index(there) > ROOMS.index(here):
                found.append(f"{module} -> {other}")
    return sorted(found)


def floor_of(module: str) -> int | None:
    package, _, rest = module.partition(".")
    first = rest.split(".")[0] if package == "tune_jobs" else package
    return FLOORS.index(first) if first in FLOORS else None


def find_floors_upwards(imports: dict[str, set[str]]) -> list[str]:
    """Imports of a higher floor, or of what lies on none: jobs and `__main__`."""
    found = []
    for module, others in imports.items():
        for other in others:
            here, there = floor_of(module), floor_of(other)
            if here is not None and (there is None or there > here):
                found.append(f"{module} -> {other}")
    return sorted(found)


def find_loops(imports: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    loops: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(imports[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            place = stack.index(module)
            if len(stack) - place > 1:
                loops.append(sorted(stack[place:]))
            del stack[place:]

    for module in imports:
        if module not in index:
            visit(module)
    return loops


def test_a_room_imports_only_rooms_below_it() -> None:
    assert find_arrows_upwards(read_imports(ROOT)) == []


def test_the_lint_knows_the_engine_and_never_the_command_line() -> None:
    assert find_floors_upwards(read_imports(ROOT)) == []


def test_no_files_import_each_other_in_a_loop() -> None:
    assert find_loops(read_imports(ROOT)) == []


def test_every_folder_of_the_engine_is_a_room_in_the_order() -> None:
    folders = {path.parent.name for path in ROOT.glob("tune_jobs/engine/*/__init__.py")}
    assert folders == set(ROOMS) - {GROUND}


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in list_modules(ROOT).values()}),
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_no_folder_has_more_modules_than_one_can_take_in(folder) -> None:
    modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES


def test_an_arrow_upwards_and_a_loop_would_be_found() -> None:
    imports = read_imports(ROOT)
    imports[f"{ENGINE}.seeds"] = {f"{ENGINE}.runs.run"}
    imports["tune_jobs.lint.runs"] |= {"tune_jobs.cli.main"}
    imports[f"{ENGINE}.names"] = {"tune_jobs.lint.runs"}

    assert find_floors_upwards(imports) == [
        f"{ENGINE}.names -> tune_jobs.lint.runs",
        "tune_jobs.lint.runs -> tune_jobs.cli.main",
    ]
    assert f"{ENGINE}.seeds -> {ENGINE}.runs.run" in find_arrows_upwards(imports)
    assert any(f"{ENGINE}.seeds" in loop for loop in find_loops(imports))
