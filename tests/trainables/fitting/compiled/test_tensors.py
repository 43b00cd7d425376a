import numpy as np
import pytest

from trainables.fitting.compiled.tensors import to_tensor


def make_large(dtype="float32"):
    # Ray's object store aligns what it maps; numpy alone does so by chance.
    buffer = np.zeros(2**22 + 64, "uint8")
    start = -buffer.ctypes.data % 64
    array = buffer[start : start + 2**22].view(dtype)
    array[:] = np.arange(len(array)) % 100
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_a_large_array_in_shared_memory_is_not_copied(dtype):
    array = make_large(dtype)
    tensor = to_tensor(array)

    assert np.shares_memory(np.from_dlpack(tensor), array)
    assert np.array_equal(tensor.numpy(), array)


def test_the_memory_of_an_array_lives_as_long_as_its_tensor():
    tensor = to_tensor(make_large())
    for _ in range(5):
        np.full(2**20, 7.0)  # would be given the memory if it were free

    assert tensor.numpy()[:3].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.zeros(3, "float64"), "float32"),
        (np.zeros((2, 2), "uint8"), "uint8"),
        (np.array([True]), "bool"),
        (np.zeros((2**10, 2**10), "float32")[:, ::2], "float32"),
    ],
)
def test_every_array_becomes_a_tensor_of_its_values(array, dtype):
    tensor = to_tensor(array)

    assert tensor.dtype.name == dtype
    assert np.array_equal(tensor.numpy(), array)
