"""Private names of Keras and TensorFlow: in one file, checked, named if a version lacks one."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from trainables.fitting import fit
from trainables.fitting.compiled import keras_internals
from trainables.fitting.compiled.keras_internals import NEEDED, TESTED, UnsupportedVersionError
from trainables.fitting.distributed import fit_distributed
from trainables.fitting.session import Session
from trainables.fitting.task import make_task

ROOT = Path(__file__).parents[4]
HOME = Path(keras_internals.__file__)
OTHERS = sorted(path for path in ROOT.glob("trainables/**/*.py") if path != HOME)

PRIVATE_PACKAGES = ("keras.src", "tensorflow.python")
BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter"}
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}  # not private, see Python's manual


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.endswith("__")


def find_private_names(source: str) -> list[str]:
    """Private attributes of anything but a class's own object, and packages that are private."""
    tree = ast.parse(source)
    own = {id(node) for node in find_own_attributes(tree)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and id(node) not in own:
            found.append(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in BY_NAME:
            found += [each.value for each in list_constants(node.args) if is_private(each.value)]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{each.name}" for each in node.names if is_of(node.module)]
            found += [each.name for each in node.names if is_private(each.name)]
        elif isinstance(node, ast.Import):
            found += [each.name for each in node.names if is_of(each.name)]
        elif isinstance(node, ast.Constant) and is_of(node.value):
            found.append(node.value)
        elif isinstance(node, ast.Attribute) and is_of(ast.unparse(node)):
            found.append(ast.unparse(node))
    return [name for name in found if name not in OF_NAMED_TUPLES]


def list_constants(nodes: list[ast.expr]) -> list[ast.Constant]:
    return [node for node in nodes if isinstance(node, ast.Constant)]


def is_of(name: object) -> bool:
    return isinstance(name, str) and name.startswith(PRIVATE_PACKAGES)


def find_own_attributes(tree: ast.AST) -> Iterator[ast.Attribute]:
    """The attributes of ``self`` that the class or a base class of ours defines, and not Keras."""
    for kind in list_classes(tree):
        defined = find_defined(kind)
        for base in map(ast.unparse, kind.bases):
            defined |= OURS.get(base, set())
        yield from (node for node in find_attributes(kind) if node.attr in defined)


def list_classes(tree: ast.AST) -> list[ast.ClassDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def find_attributes(kind: ast.ClassDef) -> list[ast.Attribute]:
    own = ("self", "super()")
    found = [node for node in ast.walk(kind) if isinstance(node, ast.Attribute)]
    return [node for node in found if ast.unparse(node.value) in own]


def find_defined(kind: ast.ClassDef) -> set[str]:
    stored = {node.attr for node in find_attributes(kind) if isinstance(node.ctx, ast.Store)}
    return stored | {node.name for node in kind.body if isinstance(node, ast.FunctionDef)}


# What the classes of the other files define, by their names.
OURS = {
    kind.name: find_defined(kind)
    for path in OTHERS
    for kind in list_classes(ast.parse(path.read_text(encoding="utf-8")))
}


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_file_has_a_private_name(path) -> None:
    assert find_private_names(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "model._flatten_layers()",
        "self.optimizer._learning_rate",
        "class Batches(PyDataset):\n    def size(self): return self._workers",
        "getattr(model, '_compile_loss', None)",
        "operator.attrgetter('_tracker')",
        "def fit():\n    from keras.src.backend import Variable",
        "import tensorflow.python.eager.context",
        "keras.src.backend.Variable",
        "import_module('tensorflow.python.eager')",
        "from keras import _tf_keras",
    ],
)
def test_a_private_name_would_be_found(line) -> None:
    assert find_private_names(line)


def test_names_of_ones_own_and_of_python_are_no_private_names() -> None:
    own = "class A:\n    def __init__(self): self._x = 1\n    def _f(self): return self._x, self._f"

    assert find_private_names(f"{own}\nplan._replace(a=1)\nlayer.__dict__\n'_x'") == []


def test_every_private_name_is_checked_and_every_checked_name_is_used() -> None:
    used = set(find_private_names(HOME.read_text(encoding="utf-8")))
    checked = {name for owners in NEEDED.values() for names in owners.values() for name in names}
    modules = {owner for owners in NEEDED.values() for owner in owners if "." in owner}

    assert {name for name in used if name.startswith("_")} == set(filter(is_private, checked))
    assert {name for name in used if not name.startswith("_")} == modules


def test_the_versions_named_are_those_that_the_package_requires() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    for library, version in TESTED.items():
        assert f"{library}=={version}.*" in project["dependencies"]


def test_the_installed_versions_lack_nothing() -> None:
    assert keras_internals.find_missing() == {}


@pytest.fixture
def lacking(monkeypatch):
    """Require one more attribute for a kind of fit, which no version has."""

    def require(kind, owner, name):
        monkeypatch.setitem(NEEDED, kind, NEEDED[kind] | {owner: (name,)})
        keras_internals.find_missing.cache_clear()

    yield require
    monkeypatch.undo()
    keras_internals.find_missing.cache_clear()


def build(config):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    return model


def make_data():
    x, y = np.ones((8, 3), "float32"), np.ones(8, "float32")
    return SimpleNamespace(x_train=x, y_train=y, x_validation=x, y_validation=y)


CONFIG = {"max_epochs": 1}


def test_a_fit_that_cannot_be_compiled_falls_back_with_the_name_and_the_remedy(lacking, sessions):
    lacking("compiled fit", "Layer", "_gone")
    model = fit(build, CONFIG, make_data())

    reason = (
        f"keras {keras.__version__} has no Layer._gone, which version 3.15 had; "
        'install the version that was tested: pip install "keras==3.15.*"'
    )
    assert sessions[0].path == f"model.fit: {reason}"
    assert sessions[0].fallback == reason
    assert len(model.history.history["val_loss"]) == 1


@pytest.mark.parametrize(
    ("owner", "library"),
    [("keras.src.gone", "keras"), ("Context", "tensorflow")],
)
def test_a_fit_that_cannot_do_without_a_name_is_refused(lacking, owner, library):
    lacking("fit", owner, "_gone")

    with pytest.raises(
        UnsupportedVersionError, match=rf"^{library} .* has no {owner}\._gone, .*pip"
    ):
        fit(build, CONFIG, make_data())


def test_a_fit_on_several_devices_is_refused_before_it_starts(lacking):
    lacking("fit on several devices", "Model", "_gone")
    strategy = SimpleNamespace(num_replicas_in_sync=1)
    task = make_task(CONFIG, make_data())

    with pytest.raises(UnsupportedVersionError, match=r"Model\._gone"):
        fit_distributed(lambda: pytest.fail("built"), task, Session(CONFIG), [[]], strategy)


def test_the_check_leaves_no_trace_in_the_names_of_layers() -> None:
    keras_internals.find_missing.cache_clear()
    names = [[layer.name for layer in fit(build, CONFIG, make_data()).layers] for _ in range(2)]

    assert names[0] == names[1]
