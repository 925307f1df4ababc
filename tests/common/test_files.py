"""An array on disk is what was written, or it is not there."""

from common.files import let_go, read_array, write_array

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

FLOAT16 = np.dtype(np.float16)
ARRAY = np.arange(24, dtype=FLOAT16).reshape(4, 3, 2)


@given(st.data())
def test_pieces_of_any_size_make_the_same_array(tmp_path_factory, data):
    dtype = np.dtype(data.draw(st.sampled_from(["<f2", "<f4", "|u1", "<i8"])))
    array = data.draw(arrays(dtype, data.draw(array_shapes(max_dims=4, max_side=5))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(array)), max_size=4)))
    file = tmp_path_factory.getbasetemp() / "array.npy"

    write_array(file, np.split(array, cuts), array.shape, dtype)

    stored = read_array(file)
    assert stored.shape == array.shape
    assert stored.dtype == dtype
    assert stored.tobytes() == array.tobytes()


def written(folder):
    write_array(folder / "array.npy", [ARRAY[:1], ARRAY[1:]], ARRAY.shape, FLOAT16)
    return folder / "array.npy"


def test_numpy_reads_the_file_too(tmp_path):
    assert np.array_equal(np.load(written(tmp_path)), ARRAY)


def test_what_is_read_stays_on_disk(tmp_path):
    assert isinstance(read_array(written(tmp_path)), np.memmap)


def test_a_changed_bit_anywhere_makes_the_file_count_as_absent(tmp_path):
    file = written(tmp_path)
    content = file.read_bytes()

    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 4
        file.write_bytes(damaged)
        assert read_array(file) is None, position


def test_a_file_cut_short_anywhere_counts_as_absent(tmp_path):
    file = written(tmp_path)
    content = file.read_bytes()

    for length in range(len(content)):
        file.write_bytes(content[:length])
        assert read_array(file) is None, length


def test_a_file_of_zeros_counts_as_absent(tmp_path):
    file = written(tmp_path)
    file.write_bytes(bytes(file.stat().st_size))  # what a power cut may leave

    assert read_array(file) is None


def test_no_file_is_absent(tmp_path):
    assert read_array(tmp_path / "array.npy") is None


def test_pages_that_were_let_go_are_read_again(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(100_000))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")[1:]

    total = mapped.sum()
    let_go(mapped)
    let_go(np.arange(3))  # of nothing that is mapped: nothing happens

    assert mapped.sum() == total == np.arange(100_000).sum()
