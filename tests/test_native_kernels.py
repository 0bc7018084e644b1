"""Every kernel on every instruction set this processor runs, against float64 numpy.

Letters: N outputs, K inputs, L lanes, V and U vectors, d dimensions.
"""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recfunnel.runtime import _native
from recfunnel.runtime._native import kernels

Array = NDArray[Any]

SETS = kernels.available()
STORAGES = ("float32", "float16", "bfloat16", "int8")
PRECISIONS = ("float32", "bfloat16", "int8")
RELATIVE = 1e-5
"""Of the sum of absolute terms: 130 float32 roundings of half a unit, 6e-8 each, are 8e-6."""

each_set = pytest.mark.parametrize("isa", SETS)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
each_storage = pytest.mark.parametrize("storage", STORAGES)
sizes = st.integers(1, 130)
lane_counts = st.sampled_from([1, 16, 32, 48, 64])
seeds = st.integers(0, 2**32 - 1)


def law(num_examples: int) -> Any:
    return settings(max_examples=num_examples, deadline=None, derandomize=True, database=None)


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def bfloat16_bits(values: Array) -> Array:
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits: Array) -> Array:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def bfloat16(values: Array) -> Array:
    return from_bfloat16(bfloat16_bits(values))


def pairs(values: Array) -> Array:
    """A tile (K, L) in pairs, as the words of a float32 array; past an odd number comes a 0."""
    bits = bfloat16_bits(np.vstack([values, np.zeros((len(values) % 2, values.shape[1]))]))
    words = bits[0::2].astype(np.uint32) | (bits[1::2].astype(np.uint32) << 16)
    return np.ascontiguousarray(words).view(np.float32)


def assert_same_words(found: Array, expected: Array) -> None:
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def int8_rows(values: Array) -> tuple[Array, Array]:
    """Integers of each row, and its scale."""
    scale = np.abs(values).max(axis=1, initial=0).astype(np.float32) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    return np.rint(values * inverse[:, None]), scale


def int8_inputs(x: Array) -> Array:
    """What the columns of x are rounded to: 256 levels from the smallest to the largest."""
    lowest, highest = np.minimum(x.min(axis=0), 0), np.maximum(x.max(axis=0), 0)
    scale = (highest - lowest) / np.float32(255)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    zero = np.rint(-lowest * inverse)
    level = np.clip(np.rint(x * inverse) + zero, 0, 255)
    return (level - zero) * scale.astype(np.float64)


def operands(isa: str, precision: str, weight: Array, x: Array) -> tuple[Array, Array]:
    """Weights and inputs as a precision rounds them, in float64."""
    if precision == "bfloat16":
        weight = bfloat16(weight)
        x = bfloat16(x) if isa == "avx512_bf16" else x
    if precision == "int8":
        level, scale = int8_rows(weight)
        weight, x = level * scale[:, None].astype(np.float64), int8_inputs(x)
    return weight.astype(np.float64), x.astype(np.float64)


def assert_near(found: Array, expected: Array, size: Array | float) -> None:
    """Equal within RELATIVE of `size`, the sum of the absolute values of what was added."""
    error = np.abs(found - expected)
    assert np.all(error <= RELATIVE * size + 1e-30), float(np.max(error / (size + 1e-30)))


def encode(values: Array, storage: str, padding: int = 0) -> tuple[Array, Array]:
    """Rows as a table stores them, and what they stand for."""
    if storage == "float32":
        stored, meant = values.view(np.uint8), values
    elif storage == "float16":
        stored, meant = values.astype(np.float16).view(np.uint8), values.astype(np.float16)
    elif storage == "bfloat16":
        stored, meant = bfloat16_bits(values).view(np.uint8), bfloat16(values)
    else:
        level, scale = int8_rows(values)
        stored = np.hstack([scale[:, None].view(np.uint8), level.astype(np.int8).view(np.uint8)])
        meant = level * scale[:, None]
    stored = np.pad(stored, ((0, 0), (0, padding)), constant_values=0xFF)
    return np.ascontiguousarray(stored), meant.astype(np.float64)


def test_the_set_in_use_is_the_best_this_processor_runs() -> None:
    assert os.environ.get("RECFUNNEL_ISA", SETS[0]) == _native.isa()
    assert SETS[-1] == "portable"


@pytest.mark.parametrize("isa", [*SETS, "sse9"])
def test_a_variable_names_the_set_to_use(isa: str) -> None:
    command = "from recfunnel.runtime import _native; print(_native.isa())"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=os.environ | {"RECFUNNEL_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )

    if isa in SETS:
        assert done.stdout.strip() == isa, done.stderr
    else:
        assert "no instruction set is called 'sse9'; known: " in done.stderr


@each_set
@each_precision
class TestLinear:
    @given(num_outputs=sizes, num_inputs=sizes, lanes=lane_counts, seed=seeds, extras=st.data())
    @law(60)
    def test_is_the_exact_result_of_the_rounded_operands(
        self, isa: str, precision: str, num_outputs: int, num_inputs: int, lanes: int, seed: int,
        extras: st.DataObject,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        weight, x = normal(rng, num_outputs, num_inputs), normal(rng, num_inputs, lanes)
        bias = normal(rng, num_outputs) if extras.draw(st.booleans()) else None
        addend = normal(rng, num_outputs, lanes) if extras.draw(st.booleans()) else None
        relu = extras.draw(st.booleans())

        packed = kernels.pack(isa, weight, precision)
        found = kernels.linear(
            isa, packed, num_outputs, precision, x, bias=bias, addend=addend, relu=relu
        )

        weight, x = operands(isa, precision, weight, x)
        expected, size = weight @ x, np.abs(weight) @ np.abs(x)
        for start in (None if bias is None else bias[:, None], addend):
            if start is not None:
                expected, size = expected + start, size + np.abs(start)
        assert_near(found, np.maximum(expected, 0) if relu else expected, size)

    @given(num_outputs=sizes, num_inputs=sizes, seed=seeds)
    @law(40)
    def test_gives_a_candidate_the_same_bits_wherever_it_stands(
        self, isa: str, precision: str, num_outputs: int, num_inputs: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        x, bias = normal(rng, num_inputs, 48), normal(rng, num_outputs)
        packed = kernels.pack(isa, normal(rng, num_outputs, num_inputs), precision)

        def outputs(part: Array) -> Array:
            part = np.ascontiguousarray(part)
            return kernels.linear(isa, packed, num_outputs, precision, part, bias=bias)

        together = outputs(x)
        np.testing.assert_array_equal(outputs(x[:, 16:48]), together[:, 16:48])
        np.testing.assert_array_equal(outputs(x[:, 32:48]), together[:, 32:48])
        for lane in (0, 17, 47):
            np.testing.assert_array_equal(outputs(x[:, lane : lane + 1])[:, 0], together[:, lane])

    @pytest.mark.parametrize("lanes", [1, 16, 48])
    def test_zeros_count_as_zeros(self, isa: str, precision: str, lanes: int) -> None:
        bias = np.arange(5, dtype=np.float32)
        packed = kernels.pack(isa, np.zeros((5, 7), np.float32), precision)
        x = np.zeros((7, lanes), np.float32)

        found = kernels.linear(isa, packed, 5, precision, x, bias=bias)

        np.testing.assert_array_equal(found, np.repeat(bias[:, None], lanes, axis=1))

    @pytest.mark.parametrize("lanes", [1, 16])
    def test_what_is_undefined_stays_undefined(self, isa: str, precision: str, lanes: int) -> None:
        if precision == "int8":
            pytest.skip("levels of an undefined number are not defined; dense inputs are checked")
        x = np.ones((9, lanes), np.float32)
        x[3] = np.nan
        packed = kernels.pack(isa, np.ones((20, 9), np.float32), precision)

        assert np.isnan(kernels.linear(isa, packed, 20, precision, x, relu=True)).all()

    def test_long_sums_are_exact_in_integers(self, isa: str, precision: str) -> None:
        """Inputs at the top level and weights at the largest integer: sums past 2^24."""
        num_inputs = 3000
        weight = np.full((3, num_inputs), 1.0, np.float32)
        weight[1] = -1.0
        x = np.full((num_inputs, 16), 255.0, np.float32)

        found = kernels.linear(isa, kernels.pack(isa, weight, precision), 3, precision, x)

        np.testing.assert_allclose(found, (weight.astype(float) @ x), rtol=1e-6)

    @given(
        num_outputs=sizes, num_x=st.integers(1, 12), num_y=st.integers(1, 20),
        dim=st.integers(1, 40), lanes=lane_counts, seed=seeds,
    )  # fmt: skip
    @law(30)
    def test_of_dots_with_constant_vectors_is_one_matrix(
        self, isa: str, precision: str, num_outputs: int, num_x: int, num_y: int, dim: int,
        lanes: int, seed: int,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        weight, y = normal(rng, num_outputs, num_x * num_y), normal(rng, num_y, dim)
        x = normal(rng, num_x * dim, lanes)

        packed = kernels.build_cross(isa, weight, y, precision)
        found = kernels.linear(isa, packed, num_outputs, precision, x)

        apart = weight.reshape(num_outputs, num_x, num_y).astype(np.float64)
        matrix = np.einsum("nvu,ud->nvd", apart, y).reshape(num_outputs, -1)
        terms = np.einsum("nvu,ud->nvd", np.abs(apart), np.abs(y)).reshape(num_outputs, -1)
        if precision == "float32":
            assert_near(found, matrix @ x, 2 * terms @ np.abs(x))
            return
        # The matrix is rounded twice, first to float32: a few entries fall to the neighbour.
        rounded, inputs = operands(isa, precision, matrix.astype(np.float32), x)
        step = np.abs(matrix) / 256 if precision == "bfloat16" else np.abs(matrix).max() / 127
        near = np.isclose(found, rounded @ inputs, rtol=0, atol=2e-5 * np.abs(terms @ np.abs(x)))
        assert near.mean() > 0.7 or near.size < 50
        assert np.all(np.abs(found - rounded @ inputs) <= (step + 1e-5 * terms) @ np.abs(inputs))

    @given(num_outputs=sizes, num_inputs=sizes, lanes=lane_counts, seed=seeds, based=st.booleans())
    @law(30)
    def test_of_products_with_constants_is_one_matrix(
        self, isa: str, precision: str, num_outputs: int, num_inputs: int, lanes: int, seed: int,
        based: bool,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        weight, y = normal(rng, num_outputs, num_inputs), normal(rng, num_inputs)
        base = normal(rng, num_outputs, num_inputs) if based else None
        x = normal(rng, num_inputs, lanes)

        packed = kernels.build_scaled(isa, base, weight, y, precision)
        found = kernels.linear(isa, packed, num_outputs, precision, x)

        matrix = weight.astype(np.float64) * y + (0 if base is None else base)
        terms = np.abs(weight * y) + (0 if base is None else np.abs(base))
        if precision == "float32":
            return assert_near(found, matrix @ x, 2 * terms @ np.abs(x))
        rounded, inputs = operands(isa, precision, matrix.astype(np.float32), x)
        step = np.abs(matrix) / 256 if precision == "bfloat16" else np.abs(matrix).max() / 127
        near = np.isclose(found, rounded @ inputs, rtol=0, atol=2e-5 * np.abs(terms @ np.abs(x)))
        assert near.mean() > 0.7 or near.size < 50
        return assert_near(found, rounded @ inputs, (step / RELATIVE + terms) @ np.abs(inputs))


@each_set
@each_storage
class TestRows:
    @given(dim=st.integers(1, 70), lanes=lane_counts, padding=st.integers(0, 5), seed=seeds)
    @law(40)
    def test_gather_puts_a_row_into_each_lane(
        self, isa: str, storage: str, dim: int, lanes: int, padding: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        table, meant = encode(normal(rng, 9, dim), storage, padding)
        rows = rng.integers(0, 9, lanes)

        found = kernels.gather(isa, table, dim, storage, rows)

        np.testing.assert_allclose(found, meant[rows].T, rtol=1e-6)

    @given(dim=st.integers(1, 70), lanes=lane_counts, seed=seeds, data=st.data())
    @law(40)
    def test_gather_columns_is_a_part_of_gather(
        self, isa: str, storage: str, dim: int, lanes: int, seed: int, data: st.DataObject
    ) -> None:
        rng = np.random.default_rng(seed)
        table, _ = encode(normal(rng, 9, dim), storage)
        rows = rng.integers(0, 9, lanes)
        start = data.draw(st.integers(0, dim - 1))
        width = data.draw(st.integers(0, dim - start))

        found = kernels.gather(isa, table, dim, storage, rows, columns=(start, width))

        whole = kernels.gather(isa, table, dim, storage, rows)
        np.testing.assert_array_equal(found, whole[start : start + width])

    @given(
        dim=st.one_of(st.integers(1, 70), st.integers(2030, 2070)), count=st.integers(0, 40),
        seed=seeds,
    )  # fmt: skip
    @law(30)
    def test_pool_is_a_weighted_sum_of_rows(
        self, isa: str, storage: str, dim: int, count: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        table, meant = encode(normal(rng, 9, dim), storage)
        rows, weights = rng.integers(0, 9, count), normal(rng, count)

        found = kernels.pool(isa, table, dim, storage, rows, weights)

        terms = weights[:, None].astype(np.float64) * meant[rows]
        assert_near(found, terms.sum(axis=0), np.abs(terms).sum(axis=0))

    def test_prefetch_touches_nothing(self, isa: str, storage: str) -> None:
        table, _ = encode(np.ones((3, 100), np.float32), storage)

        kernels.prefetch(isa, table, 100, storage, np.array([2, 0, 2]))


@each_set
def test_every_float16_is_read_exactly(isa: str) -> None:
    values = np.arange(2**16, dtype=np.uint16)
    table = values.view(np.uint8).reshape(16, -1)

    found = kernels.gather(isa, table, 2**12, "float16", np.arange(16))

    expected = values.view(np.float16).reshape(16, -1).astype(np.float32).T
    np.testing.assert_array_equal(found, expected)


@each_set
@pytest.mark.parametrize("lanes", [1, 16])
def test_every_bfloat16_is_read_exactly(isa: str, lanes: int) -> None:
    values = np.arange(2**16, dtype=np.uint16)
    table = values.view(np.uint8).reshape(16, -1)

    found = kernels.gather(isa, table, 2**12, "bfloat16", np.arange(lanes))

    np.testing.assert_array_equal(found, from_bfloat16(values).reshape(16, -1)[:lanes].T)


@each_set
class TestDots:
    @given(num=st.integers(1, 37), dim=st.integers(1, 70), lanes=lane_counts, seed=seeds)
    @law(40)
    def test_of_pairs_are_the_lower_triangle(
        self, isa: str, num: int, dim: int, lanes: int, seed: int
    ) -> None:
        x = normal(np.random.default_rng(seed), num * dim, lanes)

        found = kernels.pair_dots(isa, x, dim)

        apart = x.reshape(num, dim, lanes).astype(np.float64)
        lower = np.tril_indices(num, -1)
        dots = np.einsum("vdl,udl->vul", apart, apart)[lower]
        assert_near(found, dots, np.einsum("vdl,udl->vul", np.abs(apart), np.abs(apart))[lower])

    @given(
        num_x=st.integers(1, 20), num_y=st.integers(1, 37), dim=st.integers(1, 70),
        lanes=lane_counts, seed=seeds, one=st.booleans(),
    )  # fmt: skip
    @law(40)
    def test_across_have_x_outermost(
        self, isa: str, num_x: int, num_y: int, dim: int, lanes: int, seed: int, one: bool
    ) -> None:
        rng = np.random.default_rng(seed)
        x, y = normal(rng, num_x * dim, lanes), normal(rng, num_y * dim, 1 if one else lanes)

        found = kernels.cross_dots(isa, x, y, dim)

        of_x = x.reshape(num_x, dim, -1).astype(np.float64)
        of_y = np.broadcast_to(y.reshape(num_y, dim, -1).astype(np.float64), (num_y, dim, lanes))
        dots = np.einsum("vdl,udl->vul", of_x, of_y).reshape(-1, lanes)
        size = np.einsum("vdl,udl->vul", np.abs(of_x), np.abs(of_y)).reshape(-1, lanes)
        assert_near(found, dots, size)

    @given(num=st.integers(2, 37), dim=st.integers(1, 140), seed=seeds)
    @law(30)
    def test_give_a_candidate_the_same_bits_wherever_it_stands(
        self, isa: str, num: int, dim: int, seed: int
    ) -> None:
        x = normal(np.random.default_rng(seed), num * dim, 16)
        alone = np.ascontiguousarray(x[:, 5:6])

        np.testing.assert_array_equal(
            kernels.pair_dots(isa, alone, dim)[:, 0], kernels.pair_dots(isa, x, dim)[:, 5]
        )
        np.testing.assert_array_equal(
            kernels.cross_dots(isa, alone, alone, dim)[:, 0],
            kernels.cross_dots(isa, x, alone, dim)[:, 5],
        )


@each_set
class TestPairs:
    """Tiles of bfloat16 numbers, two in a word."""

    @given(
        num_outputs=sizes, num_inputs=sizes, lanes=lane_counts, seed=seeds, relu=st.booleans()
    )  # fmt: skip
    @law(60)
    def test_a_layer_reads_them_as_rounded_numbers(
        self, isa: str, num_outputs: int, num_inputs: int, lanes: int, seed: int, relu: bool
    ) -> None:
        rng = np.random.default_rng(seed)
        weight, x = normal(rng, num_outputs, num_inputs), normal(rng, num_inputs, lanes)
        bias = normal(rng, num_outputs)
        packed = kernels.pack(isa, weight, "bfloat16")

        found = kernels.linear(
            isa, packed, num_outputs, "bfloat16", pairs(x), bias=bias, relu=relu,
            num_inputs_of_pairs=num_inputs,
        )  # fmt: skip

        weight, x = (bfloat16(each).astype(np.float64) for each in (weight, x))
        expected, size = weight @ x + bias[:, None], np.abs(weight) @ np.abs(x)
        size += np.abs(bias)[:, None]
        assert_near(found, np.maximum(expected, 0) if relu else expected, size)

    @given(
        num_outputs=sizes, num_inputs=sizes, lanes=lane_counts, seed=seeds, relu=st.booleans(),
        precision=st.sampled_from(PRECISIONS),
    )  # fmt: skip
    @law(60)
    def test_a_layer_writes_what_it_would_write_rounded(
        self, isa: str, num_outputs: int, num_inputs: int, lanes: int, seed: int, relu: bool,
        precision: str,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        weight, x = normal(rng, num_outputs, num_inputs), normal(rng, num_inputs, lanes)
        bias, packed = normal(rng, num_outputs), kernels.pack(isa, weight, precision)

        def outputs(out_pairs: bool) -> Array:
            return kernels.linear(
                isa, packed, num_outputs, precision, x, bias=bias, relu=relu, out_pairs=out_pairs
            )

        assert_same_words(outputs(True), pairs(outputs(False)))

    @given(dim=st.integers(1, 70), lanes=lane_counts, seed=seeds, storage=st.sampled_from(STORAGES))
    @law(60)
    def test_gather_rounds_rows(
        self, isa: str, dim: int, lanes: int, seed: int, storage: str
    ) -> None:
        rng = np.random.default_rng(seed)
        table, _ = encode(normal(rng, 9, dim), storage)
        rows = rng.integers(0, 9, lanes)

        found = kernels.gather(isa, table, dim, storage, rows, out_pairs=True)

        assert_same_words(found, pairs(kernels.gather(isa, table, dim, storage, rows)))

    @given(
        num_x=st.integers(1, 21), num_y=st.integers(1, 37), half=st.integers(1, 70),
        lanes=lane_counts, seed=seeds, one=st.booleans(),
    )  # fmt: skip
    @law(60)
    def test_dots_are_those_of_rounded_vectors(
        self, isa: str, num_x: int, num_y: int, half: int, lanes: int, seed: int, one: bool
    ) -> None:
        rng, dim = np.random.default_rng(seed), 2 * half
        x, y = normal(rng, num_x * dim, lanes), normal(rng, num_y * dim, 1 if one else lanes)
        of_query = one and lanes > 1

        across = kernels.cross_dots(isa, pairs(x), y if of_query else pairs(y), dim, in_pairs=True)
        of_pairs = kernels.pair_dots(isa, pairs(y), dim, in_pairs=True)

        of_x = bfloat16(x).reshape(num_x, dim, lanes).astype(np.float64)
        of_y = bfloat16(y).reshape(num_y, dim, -1).astype(np.float64)
        lower = np.tril_indices(num_y, -1)

        def own(vectors: Array) -> Array:
            dots: Array = np.einsum("vdl,udl->vul", vectors, vectors)[lower]
            return dots

        def with_y(of_x: Array, of_y: Array) -> Array:
            spread = np.broadcast_to(of_y, (num_y, dim, lanes))
            return np.einsum("vdl,udl->vul", of_x, spread).reshape(-1, lanes)

        assert_near(across, with_y(of_x, of_y), with_y(np.abs(of_x), np.abs(of_y)))
        if not of_query:
            assert_near(of_pairs, own(of_y), own(np.abs(of_y)))

    @given(
        num_x=st.integers(1, 21), num_y=st.integers(1, 37), half=st.integers(1, 40),
        lanes=lane_counts, seed=seeds, in_pairs=st.booleans(),
    )  # fmt: skip
    @law(60)
    def test_dots_are_written_as_they_would_be_rounded(
        self, isa: str, num_x: int, num_y: int, half: int, lanes: int, seed: int, in_pairs: bool
    ) -> None:
        rng, dim = np.random.default_rng(seed), 2 * half
        x, y = normal(rng, num_x * dim, lanes), normal(rng, num_y * dim, lanes)
        if in_pairs:
            x, y = pairs(x), pairs(y)

        def of_pairs(out_pairs: bool) -> Array:
            return kernels.pair_dots(isa, y, dim, in_pairs=in_pairs, out_pairs=out_pairs)

        def across(out_pairs: bool) -> Array:
            return kernels.cross_dots(isa, x, y, dim, in_pairs=in_pairs, out_pairs=out_pairs)

        assert_same_words(of_pairs(True), pairs(of_pairs(False)))
        assert_same_words(across(True), pairs(across(False)))

    @given(num=st.integers(2, 37), half=st.integers(1, 140), seed=seeds, num_outputs=sizes)
    @law(40)
    def test_give_a_candidate_the_same_bits_wherever_it_stands(
        self, isa: str, num: int, half: int, seed: int, num_outputs: int
    ) -> None:
        rng, dim = np.random.default_rng(seed), 2 * half
        x, y = pairs(normal(rng, num * dim, 48)), normal(rng, 3 * dim, 1)
        packed = kernels.pack(isa, normal(rng, num_outputs, num * dim), "bfloat16")

        def everything(part: Array) -> Array:
            part = np.ascontiguousarray(part)
            dots = kernels.pair_dots(isa, part, dim, in_pairs=True)
            with_query = pairs(y) if part.shape[1] == 1 else y
            across = kernels.cross_dots(isa, part, with_query, dim, in_pairs=True)
            layer = kernels.linear(
                isa, packed, num_outputs, "bfloat16", part, num_inputs_of_pairs=num * dim
            )
            return np.concatenate([dots, across, layer])

        together = everything(x)
        for lane in (0, 17, 47):
            np.testing.assert_array_equal(
                everything(x[:, lane : lane + 1])[:, 0], together[:, lane]
            )
        np.testing.assert_array_equal(everything(x[:, 32:48]), together[:, 32:48])


@each_set
class TestElementwise:
    @given(width=st.integers(1, 70), lanes=lane_counts, seed=seeds, one=st.booleans())
    @law(30)
    def test_is_numpy(self, isa: str, width: int, lanes: int, seed: int, one: bool) -> None:
        rng = np.random.default_rng(seed)
        x, y = normal(rng, width, lanes), normal(rng, width, 1 if one else lanes)
        scale, shift = normal(rng, width), normal(rng, width)

        np.testing.assert_array_equal(kernels.elementwise(isa, "add", x, y), x + y)
        np.testing.assert_array_equal(kernels.elementwise(isa, "multiply", x, y), x * y)
        np.testing.assert_array_equal(kernels.relu(isa, x), np.maximum(x, 0))
        product = x * scale[:, None].astype(np.float64)
        assert_near(
            kernels.affine(isa, x, scale, shift),
            product + shift[:, None],
            np.abs(product) + np.abs(shift[:, None]),
        )

    @given(count=st.integers(0, 200), quantile=st.floats(0, 1), seed=seeds)
    @law(40)
    def test_values_above_a_threshold_are_kept_in_order(
        self, isa: str, count: int, quantile: float, seed: int
    ) -> None:
        values = normal(np.random.default_rng(seed), count)
        values[::7] = np.nan
        sample = np.nan_to_num(values) if count else np.zeros(1, np.float32)
        threshold = float(np.quantile(sample, quantile, method="lower"))
        expected = np.flatnonzero(values > threshold)

        kept, positions = kernels.collect_above(isa, values, threshold, 2**40, room=len(expected))

        np.testing.assert_array_equal(kept, values[expected])
        np.testing.assert_array_equal(positions, 2**40 + expected)

    @given(values=st.lists(st.floats(-4, 4, width=16), min_size=1, max_size=200), data=st.data())
    @law(60)
    def test_the_kth_largest_is_found_among_equals(
        self, isa: str, values: list[float], data: st.DataObject
    ) -> None:
        k = data.draw(st.integers(1, len(values)))
        kth = sorted(values)[-k]
        num_above = sum(value > kth for value in values)
        found = kernels.kth_largest(isa, np.array(values, np.float32), k)
        assert found == (kth, num_above)
        far = np.array([3.0e38, -1.0e-40, -3.0e38], np.float32)
        assert kernels.kth_largest(isa, far, 2) == (far[1], 1)

    @given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=200), data=st.data())
    @law(60)
    def test_what_is_above_a_bound_stays_and_the_first_of_its_equals(
        self, isa: str, values: list[int], data: st.DataObject
    ) -> None:
        bound = data.draw(st.integers(-3, 3))
        most_equal = data.draw(st.integers(0, 20))
        given = np.array(values, np.float32)
        equal = np.flatnonzero(given == bound)[:most_equal]
        expected = np.sort(np.concatenate([np.flatnonzero(given > bound), equal]))
        positions = 2**40 + 3 * np.arange(len(given))
        kept, at = kernels.keep_from(isa, given, positions, bound, most_equal)
        np.testing.assert_array_equal(kept, given[expected])
        np.testing.assert_array_equal(at, positions[expected])
