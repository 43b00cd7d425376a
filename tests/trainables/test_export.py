import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainables import image_cnn, tabular_mlp
from trainables.export import ROWS_PER_BATCH, export, load, predict
from trainables.fitting.checkpoints import save_checkpoint
from trainables.fitting.curves import Progress
from trainables.fitting.models import stack, state_of
from trainables.preprocessing import list_joined, make_encoder, make_wide_encoder, split_columns

BINARY = {"name": "churned", "task": "binary", "classes": [False, True]}
PRICE = {"name": "price", "task": "regression", "mean": 250_000.0, "scale": 70_000.0}


def save_model_state(model, folder):
    state = stack([state_of(model)])
    save_checkpoint(state | {f"best_{k}": v for k, v in state.items()}, [Progress()], folder)


def numeric(name, mean=0.0, scale=1.0, fill=0.0, indicator=False, kind="numeric"):
    return {
        "name": name,
        "kind": kind,
        "mean": mean,
        "scale": scale,
        "fill": fill,
        "indicator": indicator,
    }


def categorical(name, *categories):
    return {"name": name, "kind": "categorical", "categories": list(categories)}


COLUMNS = [
    categorical("city", "Bern", "Oslo"),
    numeric("age", mean=40.0, scale=12.5, fill=38.0, indicator=True),
    numeric("smoker", fill=1.0, indicator=True, kind="boolean"),
    numeric("signed up", mean=1.7e9, scale=3.0, fill=1.7e9),
    categorical("plan", "only one"),
]


def make_config(columns, target):
    codes = [len(c["categories"]) + 1 for c in columns if c["kind"] == "categorical"]
    width = len(columns) + sum(c.get("indicator", False) for c in columns)
    return {
        "task": target["task"],
        "input_shape": [width],
        "outputs": 1,
        "rows": 100,
        "categories": codes,
        "layers": [{"units": 8, "dropout": 0.5}],
        "batch_normalisation": True,
    }


def encode(columns, raw):
    """The encoding of the contract, written once more in numpy."""
    numbers, indicators, codes = [], [], []
    for column in columns:
        values = np.asarray(raw[column["name"]]).ravel()
        if column["kind"] == "categorical":
            places = {category: place for place, category in enumerate(column["categories"], 1)}
            codes.append(np.array([places.get(value, 0) for value in values]))
            continue
        missing = np.isnan(values)
        filled = np.where(missing, column["fill"], values)
        numbers.append((filled - column["mean"]) / column["scale"])
        if column["indicator"]:
            indicators.append(missing)
    return np.column_stack(numbers + indicators + codes).astype("float32")


def make_raw(columns, rows, seed=0):
    random = np.random.default_rng(seed)
    raw = {}
    for column in columns:
        if column["kind"] == "categorical":
            values = np.array([*column["categories"], "", "never seen"], dtype=object)
            raw[column["name"]] = random.choice(values, size=(rows, 1))
        else:
            values = random.normal(column["mean"], column["scale"], size=(rows, 1))
            raw[column["name"]] = np.where(random.random((rows, 1)) < 0.2, np.nan, values)
    return raw


def save_trained(model, folder):
    """Write a checkpoint whose weights are far from those of a fresh model."""
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    save_model_state(model, folder)
    return model


def export_table(columns, target, folder):
    config = make_config(columns, target)
    trained = save_trained(tabular_mlp.build(config), folder)
    preprocessing = {"columns": columns, "target": target}
    export(tabular_mlp.build, config, folder, preprocessing, folder / "best.keras")
    return trained


def predict_encoded(model, columns, raw):
    return model.predict(encode(columns, raw), verbose=0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return export_table(COLUMNS, BINARY, folder), folder / "best.keras"


def test_raw_columns_predict_what_the_encoded_matrix_does(exported):
    trained, path = exported
    raw = make_raw(COLUMNS, 200)

    expected = predict_encoded(trained, COLUMNS, raw)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(predict(load(path), raw), expected, rtol=1e-5, atol=1e-6)


def test_the_encoding_is_exact_for_large_numbers(exported):
    # The encoder is the loaded model's own: its matrix, not only what a network makes of it.
    raw = make_raw(COLUMNS, 200)
    model = load(exported[1])
    encoder = model.get_layer("preprocessing")
    encoded = encoder([_tensor(raw[c["name"]]) for c in COLUMNS])

    np.testing.assert_array_equal(np.asarray(encoded), encode(COLUMNS, raw))


def _tensor(values):
    import keras

    dtype = "string" if values.dtype == object else "float64"
    return keras.ops.convert_to_tensor(values, dtype=dtype)


def test_a_regression_predicts_in_the_targets_own_units(tmp_path):
    columns = [numeric("rooms", mean=3.0, scale=1.5, fill=3.0), categorical("city", "Bern")]
    trained = export_table(columns, PRICE, tmp_path)
    raw = make_raw(columns, 50)

    expected = predict_encoded(trained, columns, raw) * 70_000.0 + 250_000.0
    np.testing.assert_allclose(predict(load(tmp_path / "best.keras"), raw), expected, rtol=1e-5)


def test_strings_of_every_numpy_kind_and_shape_predict_the_same(exported):
    model = load(exported[1])
    raw = make_raw(COLUMNS, 20)
    expected = predict(model, raw)

    text = {name: a.astype(str) if a.dtype == object else a for name, a in raw.items()}
    flat = {name: a.ravel() for name, a in raw.items()}
    assert np.array_equal(predict(model, text), expected)
    assert np.array_equal(predict(model, flat), expected)


def test_integers_and_booleans_predict_as_numbers(exported):
    model = load(exported[1])
    raw = make_raw(COLUMNS, 3) | {"age": np.array([40, 50, 60]), "smoker": np.array([True] * 3)}
    as_floats = raw | {name: raw[name].astype("float64") for name in ("age", "smoker")}

    assert np.array_equal(predict(model, raw), predict(model, as_floats))


def test_many_rows_are_predicted_in_bounded_batches(exported, monkeypatch):
    model = load(exported[1])
    sizes = []
    predict_on_batch = model.predict_on_batch
    monkeypatch.setattr(
        model,
        "predict_on_batch",
        lambda batch: sizes.append(len(batch["age"])) or predict_on_batch(batch),
    )
    raw = make_raw(COLUMNS, 2 * ROWS_PER_BATCH + 1)
    made = predict(model, raw)

    assert sizes == [ROWS_PER_BATCH, ROWS_PER_BATCH, 1]
    np.testing.assert_allclose(
        made[-1:], predict(model, {name: a[-1:] for name, a in raw.items()}), rtol=1e-5
    )


def test_no_rows_predict_no_rows(exported):
    assert predict(load(exported[1]), make_raw(COLUMNS, 0)).shape == (0, 1)


def test_a_missing_column_is_named(exported):
    raw = make_raw(COLUMNS, 3)
    del raw["age"]

    with pytest.raises(ValueError, match="column 'age' is missing; the model needs: city, age, "):
        predict(load(exported[1]), raw)


def test_further_columns_are_ignored(exported):
    model, raw = load(exported[1]), make_raw(COLUMNS, 3)

    assert np.array_equal(predict(model, raw | {"noise": np.zeros(3)}), predict(model, raw))


def test_plain_keras_loads_the_file_without_this_package(exported, tmp_path):
    code = (
        "import sys, keras; from keras import ops\n"
        f"model = keras.saving.load_model({str(exported[1])!r}, safe_mode=True)\n"
        "raw = {n: ops.convert_to_tensor([['Oslo']] if t.dtype == 'string' else [[1.0]], t.dtype)\n"
        "       for n, t in model.input.items()}\n"
        "print(float(model(raw)[0, 0]))\n"
        "assert not any(name.startswith(('trainables', 'ray')) for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    raw = {c["name"]: np.array(["Oslo"] if c["kind"] == "categorical" else [1.0]) for c in COLUMNS}

    assert float(done.stdout) == pytest.approx(predict(load(exported[1]), raw).item(), rel=1e-5)


def test_a_wide_table_exports(tmp_path):
    columns = [numeric(f"x{i}", mean=i, indicator=i % 7 == 0) for i in range(75)]
    columns += [categorical(f"c{i}", *map(str, range(i + 1))) for i in range(25)]
    trained = export_table(columns, BINARY, tmp_path)
    raw = make_raw(columns, 20)

    made = predict(load(tmp_path / "best.keras"), raw)
    np.testing.assert_allclose(made, predict_encoded(trained, columns, raw), rtol=1e-5, atol=1e-6)


ODD = [
    "",
    " ",
    "a/b",
    "a_b",
    "a b",
    "column_2",
    "model",
    "preprocessing",
    "Preis in €/m²",
    "x\ny",
    "\0",
    "concatenate",
    "A",
    "a",
    "ä",
    "a\u0308",
    "日本",
    "🐍",
    ".",
    "..",
    "inputs",
    "outputs",
]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.sampled_from(ODD) | texts
numerics = st.builds(
    numeric,
    name=names,
    mean=st.floats(-1e9, 1e9),
    scale=st.floats(1e-3, 1e6),
    fill=st.floats(-1e9, 1e9),
    indicator=st.booleans(),
    kind=st.sampled_from(["numeric", "boolean"]),
)
categories = st.lists(
    texts.filter(lambda text: text and not text.endswith("\0")), max_size=4, unique=True
)
categoricals = st.builds(lambda name, known: categorical(name, *known), names, categories)
column_lists = st.lists(
    numerics | categoricals, min_size=1, max_size=6, unique_by=lambda column: column["name"]
)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(columns=column_lists)
def test_any_columns_export(columns, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    trained = export_table(columns, BINARY, folder)
    raw = make_raw(columns, 30)
    encoded = make_encoder(columns, "encoder")([_tensor(raw[c["name"]]) for c in columns])

    made = predict(load(folder / "best.keras"), raw)
    tiny = float(np.finfo(np.float32).tiny)  # TensorFlow makes smaller numbers 0
    np.testing.assert_allclose(np.asarray(encoded), encode(columns, raw), rtol=0, atol=tiny)
    np.testing.assert_allclose(made, predict_encoded(trained, columns, raw), rtol=1e-4, atol=1e-5)


def test_odd_column_names_export_together(tmp_path):
    columns = [numeric(name, mean=place) for place, name in enumerate(ODD)]
    trained = export_table(columns, BINARY, tmp_path)
    raw = make_raw(columns, 30)

    made = predict(load(tmp_path / "best.keras"), raw)
    np.testing.assert_allclose(made, predict_encoded(trained, columns, raw), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("category", ["a\nb", "\r", "\x00a", " x ", "[UNK]", "\u2028", "é🐍", "-"])
def test_any_category_is_found_again(category):
    encoder = make_encoder([categorical("c", category, "last")], "encoder")
    values = np.array([[category], ["last"], [""], ["other"]], dtype=object)

    assert np.asarray(encoder([_tensor(values)])).ravel().tolist() == [1, 2, 0, 0]


@pytest.mark.parametrize("category", ["", "a\x00"])
def test_a_category_that_strings_cannot_hold_is_refused(category):
    with pytest.raises(ValueError, match=r"column 'c': category .* is empty or ends in a null"):
        make_encoder([categorical("c", category)], "encoder")


@pytest.mark.parametrize("family", [image_cnn, tabular_mlp])
def test_an_image_model_takes_the_images(family, tmp_path):
    config = {
        "task": "multiclass",
        "input_shape": [8, 8, 1],
        "outputs": 10,
        "rows": 50,
        "maximum": 16.0,
        "blocks": [{"filters": 4, "kernel_size": 3}],
        "layers": [{"units": 4}],
    }
    trained = save_trained(family.build(config), tmp_path)
    target = {"name": "y", "task": "multiclass", "classes": list(range(10))}
    path = tmp_path / "best.keras"
    family.export(family.build, config, tmp_path, {"columns": None, "target": target}, path)
    images = np.random.default_rng(0).integers(0, 17, (30, 8, 8, 1)).astype("uint8")

    made = family.predict(family.load(path), images)
    assert made.shape == (30, 10)
    np.testing.assert_allclose(made, trained.predict(images, verbose=0), rtol=1e-5, atol=1e-6)


def test_an_export_that_fails_leaves_the_old_file(exported, tmp_path, monkeypatch):
    import keras

    path = tmp_path / "best.keras"
    path.write_text("the old model")
    config = make_config(COLUMNS, BINARY)
    save_trained(tabular_mlp.build(config), tmp_path)

    def fail(model, temporary):
        temporary.write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr(keras.Model, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        export(tabular_mlp.build, config, tmp_path, {"columns": COLUMNS, "target": BINARY}, path)

    assert path.read_text() == "the old model"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.keras",
        "progress.json",
        "state.npz",
    ]


@pytest.fixture
def wide(monkeypatch):
    """Let every table count as one of many columns."""
    monkeypatch.setattr("trainables.preprocessing.MOST_INPUTS", 0)


def encode_wide(columns, raw):
    inputs = {
        kind: _tensor(np.hstack([raw[column["name"]] for column in known]))
        for kind, known in split_columns(columns).items()
    }
    return np.asarray(make_wide_encoder(columns, "encoder")(inputs))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(columns=column_lists)
def test_many_columns_are_encoded_as_few_are(columns):
    raw = make_raw(columns, 30)
    tiny = float(np.finfo(np.float32).tiny)  # TensorFlow makes smaller numbers 0
    np.testing.assert_allclose(encode_wide(columns, raw), encode(columns, raw), rtol=0, atol=tiny)


def test_texts_of_many_columns_have_the_codes_of_their_own_column():
    columns = [categorical("a", "x", "y"), categorical("b", "y", "z"), categorical("c", "w")]
    texts = np.array([["x", "x", "x"], ["y", "y", "w"], ["z", "z", ""]], dtype=object)
    raw = {name: texts[:, [place]] for place, name in enumerate("abc")}

    assert encode_wide(columns, raw).tolist() == [[1, 0, 0], [2, 1, 1], [0, 2, 0]]
    nothing = [categorical("a"), categorical("b")]
    assert encode_wide(nothing, raw).tolist() == [[0, 0]] * 3


@pytest.mark.usefixtures("wide")
def test_a_model_of_many_columns_takes_them_by_their_names(tmp_path):
    columns = [*COLUMNS, numeric("a/b", scale=2.0), numeric("numbers"), categorical("texts", "x")]
    trained = export_table(columns, BINARY, tmp_path)
    raw = make_raw(columns, 30)
    model = load(tmp_path / "best.keras")

    assert {name: tensor.shape[1] for name, tensor in model.input.items()} == {
        "numbers": 5,
        "texts": 3,
    }
    shuffled = {name: raw[name] for name in sorted(raw)} | {"other": np.zeros((30, 1))}
    np.testing.assert_allclose(
        predict(model, shuffled), predict_encoded(trained, columns, raw), rtol=1e-5, atol=1e-6
    )
    del raw["smoker"]
    with pytest.raises(ValueError, match="column 'smoker' is missing; the model needs: age, "):
        predict(model, raw)


def test_a_model_has_no_layer_more_for_a_column_more(tmp_path):
    counts = []
    for columns in (300, 600):
        many = [numeric(f"n{place}") for place in range(columns)]
        many += [categorical(f"c{place}", "x", "y") for place in range(columns)]
        encoder = make_wide_encoder(many, "encoder")
        counts.append(len(encoder.operations))

    assert counts[0] == counts[1] < 40
    assert list_joined(many).keys() == {"numbers", "texts"}
    assert list_joined(many[:200]) == {}


@pytest.mark.usefixtures("wide")
def test_plain_keras_reads_a_model_of_many_columns_and_their_names_are_in_the_file(tmp_path):
    export_table(COLUMNS, BINARY, tmp_path)
    code = (
        "import json, sys, zipfile, keras, numpy as np\n"
        "names = json.loads(zipfile.ZipFile(sys.argv[1]).read('columns.json'))\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "rows = {'numbers': keras.ops.zeros((5, len(names['numbers']))), "
        "'texts': keras.ops.convert_to_tensor([['Oslo'] * len(names['texts'])] * 5, 'string')}\n"
        "print(json.dumps(names), np.asarray(model(rows)).shape)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "best.keras")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert ran.stdout.strip() == (
        '{"numbers": ["age", "smoker", "signed up"], "texts": ["city", "plan"]} (5, 1)'
    )
