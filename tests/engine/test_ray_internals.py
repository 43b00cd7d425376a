"""Private names of Ray: in one module only, present in the installed Ray, missed in words."""

import ast
import importlib
import re
import socket
from pathlib import Path

import pytest
import ray

from tune_jobs.engine import ray_internals
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.ray_internals import check_ray, find, replaced, rungs_of, settings_of
from tune_jobs.engine.search.schedulers import ASHA

ROOT = Path(__file__).parent.parent.parent
HOME = ROOT / "tune_jobs" / "engine" / "ray_internals.py"

# A private name in a dotted one of Ray, as code or as text.
DOTTED = re.compile(r"\bray[\w.]*[.:]_[a-z]\w*|_private|_internal\b|_raylet|__RAY_")

# Members with an underscore of the standard library that are public.
PUBLIC = {"_exit", "_replace", "_asdict", "_fields"}

# Of scikit-learn: a router's request of its own has no public way.
ROUTING = {"_get_metadata_request", "_route_params"}


def find_private(text: str) -> list[str]:
    """List the private names of Ray in a module, docstrings left out."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, documented)]
    docstrings = {body[0].value for body in bodies if body and isinstance(body[0], ast.Expr)}
    own = {node.name for node in ast.walk(tree) if isinstance(node, documented[1:])} | ROUTING
    own |= {node.attr for node in ast.walk(tree) if is_set(node)}
    found = [name for node in ast.walk(tree) if node not in docstrings for name in private_in(node)]
    return [name for name in found if name.rpartition(".")[2] not in own]


def is_set(node: ast.AST) -> bool:
    """Return whether a class of the module sets an attribute of its own."""
    is_attribute = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    return is_attribute and getattr(node.value, "id", "") == "self"


def private_in(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if DOTTED.search(alias.name)]
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name for name in names if DOTTED.search(name)]
    if isinstance(node, ast.Attribute):
        is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        return [ast.unparse(node)] if is_private(node.attr) and not is_own else []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value] if DOTTED.search(node.value) else []
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "setattr"):
        texts = [each.value for each in node.args[1:2] if isinstance(each, ast.Constant)]
        return [text for text in texts if is_private(text)]
    return []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


FILES = sorted(path for path in ROOT.glob("tune_jobs/**/*.py") if path != HOME)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_private_names_of_ray_stand_in_one_module(path) -> None:
    assert find_private(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "from ray._private import worker",
        "from ray import _raylet",
        "import ray._private.state",
        "from ray.tune.experiment.config_parser import _make_parser",
        "from ray.train._internal.session import X",
        "free = ray._private.state.state",
        "inner = tuner._local_tuner",
        "request = self._client._do_request",
        "inner = getattr(tuner, '_local_tuner')",
        "place = 'ray._private.node:Node'",
        "place = 'ray.tune.experiment.config_parser:_make_parser'",
    ],
)
def test_a_private_name_elsewhere_would_be_found(line) -> None:
    assert find_private(line) != []


def test_a_module_may_have_private_members_of_its_own() -> None:
    assert find_private("self._experiment = self._find(cls._made)") == []
    assert find_private("self._made = 1\ncopied._made = self._made") == []
    assert find_private("copied._made = self._made") != []
    assert find_private("def _end(self): ...\nother._end()") == []
    assert find_private("other._end()") == ["other._end"]


def places() -> list[str]:
    values = [value for name, value in vars(ray_internals).items() if name.isupper()]
    return sorted(value for value in values if isinstance(value, str) and ":" in value)


@pytest.mark.parametrize("place", [place for place in places() if "." in place])
def test_the_ray_that_is_installed_has_each(place) -> None:
    assert find(place) is not None


def test_a_run_checks_each_that_a_run_uses() -> None:
    check_ray()
    assert len(set(ray_internals.NEEDED)) == len(ray_internals.NEEDED) == 37


def test_an_agent_gets_a_port_that_is_free_and_that_no_connection_gets(monkeypatch) -> None:
    connections = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if connections.exists():
        assert ray_internals.FREE_PORTS[-1] < int(connections.read_text().split()[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(ray_internals, "FREE_PORTS", range(port, port + 1))
        assert ray_internals._free_port() == 0
    assert ray_internals._free_port() == port


def test_a_ray_that_lacks_one_is_refused_in_one_line(monkeypatch) -> None:
    session = importlib.import_module("ray.train._internal.session")
    monkeypatch.delattr(session, "_TrainingResult")

    with pytest.raises(JobError) as caught:
        check_ray()

    assert str(caught.value) == (
        f"Ray {ray.__version__} has no ray.train._internal.session._TrainingResult, which "
        "tune-jobs relies on; install the version that it was tested with: "
        "pip install 'ray[tune]==2.60.*'"
    )


@pytest.mark.parametrize("place", ["ray.nowhere:x", "ray.tune:nothing.at_all"])
def test_a_place_that_is_not_there_is_named(place) -> None:
    with pytest.raises(JobError, match=place.replace(":", ".")):
        find(place)


def test_objects_that_keep_their_facts_elsewhere_are_refused() -> None:
    with pytest.raises(JobError, match=r"AsyncHyperBandScheduler\._brackets"):
        rungs_of(object())
    with pytest.raises(JobError, match=r"Tuner\._local_tuner"):
        settings_of(object())


def test_asha_says_where_it_compares() -> None:
    assert ASHA(grace_period=1, reduction_factor=3, brackets=1).rungs(30) == [1, 3, 9, 27]
    assert ASHA(grace_period=2, reduction_factor=2, brackets=2).rungs(9) == [2, 4, 8]


def test_what_is_replaced_is_restored_after_an_error() -> None:
    place = "ray.tune.schedulers:FIFOScheduler.choose_trial_to_run"
    before = find(place)
    with pytest.raises(KeyError), replaced({place: len}):
        assert find(place) is len
        raise KeyError

    assert find(place) is before


def test_the_tested_version_is_the_pinned_one() -> None:
    pinned = f"ray[tune]=={ray_internals.TESTED}.*"
    assert pinned in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
