"""The layers of the design: who may import whom, and what costs nothing to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"keras", "tensorflow", "ray", "pandas", "pyarrow", "sklearn", "hyperopt", "numpy"}


def imports(path: Path, *, at_top: bool = False) -> set[str]:
    """The modules that a file imports when it runs, those for type checkers left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    nodes = tree.body if at_top else ast.walk(tree)
    found = set()
    for node in nodes:
        if id(node) in checked:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def touches(found: set[str], *packages: str) -> set[str]:
    return {name for name in found if any((name + ".").startswith(p + ".") for p in packages)}


@pytest.mark.parametrize("path", sorted(ROOT.glob("trainables/**/*.py")), ids=lambda p: p.name)
def test_trainables_know_keras_and_never_the_engine(path) -> None:
    assert not touches(imports(path), "tune_jobs")
    assert not touches(imports(path, at_top=True), "keras", "tensorflow")


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("tune_jobs/engine/**/*.py")), ids=lambda p: p.name
)
def test_the_engine_knows_neither_keras_nor_trainables(path) -> None:
    assert not touches(imports(path), "keras", "tensorflow", "trainables")


@pytest.mark.parametrize(
    "path", sorted(p for p in ROOT.glob("tune_jobs/[a-z]*.py")), ids=lambda p: p.name
)
def test_a_job_never_imports_another_job(path) -> None:
    jobs = {f"tune_jobs.{other.stem}" for other in ROOT.glob("tune_jobs/[a-z]*.py")}
    assert not touches(imports(path), *jobs)


def unpacked_literals(text: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    stars = [each for call in calls for each in call.args if isinstance(each, ast.Starred)]
    return [ast.unparse(each) for each in stars if isinstance(each.value, ast.Tuple | ast.List)]


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("tune_jobs/**/*.py"), *ROOT.glob("trainables/**/*.py")]),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_arguments_have_keywords_rather_than_places_in_a_tuple(path) -> None:
    assert unpacked_literals(path.read_text(encoding="utf-8")) == []


def test_an_unpacked_tuple_would_be_found() -> None:
    assert unpacked_literals("Run(*(a, b), c=1); f(*many)") == ["*(a, b)"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("tune_jobs/cli/*.py")), ids=lambda p: p.name)
def test_the_command_line_imports_the_engine_inside_its_commands_only(path) -> None:
    if "click" in imports(path, at_top=True):  # the others are imported inside commands themselves
        assert not touches(imports(path, at_top=True), "tune_jobs.engine", *HEAVY)
    assert not touches(imports(path), "keras", "tensorflow", "trainables")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["submit", "--help"], ["list"]], ids=" ".join
)
def test_help_and_list_import_nothing_heavy(arguments) -> None:
    code = (
        "import sys, click\n"
        "from tune_jobs.cli.main import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        f"print('loaded:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.endswith("loaded: []\n"), ran.stdout + ran.stderr


def test_loading_a_job_imports_no_tensorflow() -> None:
    code = (
        "import sys\n"
        "from tune_jobs.engine.job.modules import find_job, list_jobs\n"
        "for name in list_jobs(): find_job(name)\n"
        "print('loaded:', sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "loaded: []\n", ran.stdout + ran.stderr
