import numpy as np

from trainables.layers import MOST_ONE_HOT_CODES, features, make_inputs, width_of


def compute_features(config, rows):
    import keras

    inputs = make_inputs(config)
    return keras.Model(inputs, features(inputs, config)).predict(np.array(rows), verbose=0)


def test_a_table_of_numbers_stays_as_it_is():
    made = compute_features({"input_shape": [2], "categories": []}, [[1.5, -2.0]])

    assert made.tolist() == [[1.5, -2.0]]


def test_codes_become_one_hot_behind_the_numbers():
    made = compute_features({"input_shape": [3], "categories": [2, 3]}, [[7.5, 1, 2], [8.5, 0, 0]])

    assert made.tolist() == [[7.5, 0, 1, 0, 0, 1], [8.5, 1, 0, 1, 0, 0]]


def test_a_table_of_codes_alone_has_no_numbers():
    assert compute_features({"input_shape": [1], "categories": [3]}, [[1]]).tolist() == [[0, 1, 0]]


def test_a_column_of_many_codes_is_embedded():
    count = MOST_ONE_HOT_CODES + 1
    made = compute_features({"input_shape": [3], "categories": [2, count]}, [[5, 1, count - 1]] * 2)

    assert made[0, :3].tolist() == [5, 0, 1]
    assert made.shape[1] == 3 + round(1.6 * count**0.56)


def test_an_image_is_scaled_by_its_maximum():
    config = {"input_shape": [1, 2, 1], "maximum": 16.0}

    assert compute_features(config, [[[[4], [16]]]]).ravel().tolist() == [0.25, 1.0]


def test_many_columns_are_embedded_by_one_table_for_each_width():
    import keras

    codes = [34] * 60 + [50] * 40
    config = {"input_shape": [1 + len(codes)], "categories": codes}
    inputs = make_inputs(config)
    model = keras.Model(inputs, features(inputs, config))
    tables = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
    # The vector of a code is its row: so each column is found by where its part begins.
    for table in tables:
        rows, width = table.embeddings.shape
        table.embeddings.assign(np.repeat(np.arange(rows)[:, None], width, axis=1))
    random = np.random.default_rng(0)
    drawn = np.stack([random.integers(0, count, 5) for count in codes], axis=1)
    made = np.asarray(model(np.hstack([np.zeros((5, 1)), drawn]).astype("float32")))

    starts = [34 * place for place in range(60)] + [50 * place for place in range(40)]
    widths = [width_of(count) for count in codes]
    assert len(tables) == len(set(widths)) == 2
    expected = np.hstack([np.zeros((5, 1)), np.repeat(drawn + starts, widths, axis=1)])
    np.testing.assert_array_equal(made, expected)
