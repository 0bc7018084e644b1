"""Rows of computed tables on every instruction set, against float64 numpy.

Letters: n ids, k codes, m values of a code, d dimensions.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from native_machine_world import each_isa
from recfunnel.compile.computed import activated, computed_rows
from recfunnel.compile.lower_computed import lower_computed
from recfunnel.compile.program import Precision
from recfunnel.core.codes import Codes, MultiplyShift, PrimeModulus
from recfunnel.core.computed import (
    Activation,
    AnyComputed,
    BatchNorm,
    Decoded,
    DecoderLayer,
    HashedRows,
    QuotientRemainder,
)
from recfunnel.runtime import _native
from recfunnel.runtime.native_tables import NativeRows, native_table

NUM_IDS = 4_000_000_000
CODES: tuple[Codes, ...] = (
    MultiplyShift(num_codes=48, seed=3),
    MultiplyShift(num_codes=33, num_bits=1, seed=4),
    MultiplyShift(num_codes=37, num_bits=16),
    MultiplyShift(num_codes=34, values="gaussian", seed=1),
    PrimeModulus(num_codes=40),
    PrimeModulus(num_codes=35, prime="shared", num_buckets=200, seed=9),
    PrimeModulus(num_codes=36, values="gaussian", num_buckets=999),
)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
each_family = pytest.mark.parametrize("codes", CODES, ids=lambda codes: repr(codes)[:30])

Parameters = dict[str, NDArray[np.float32]]


def some_ids(count: int, seed: int = 0) -> NDArray[np.int64]:
    ids = np.random.default_rng(seed).integers(0, NUM_IDS, count)
    ids[:2] = 0, NUM_IDS - 1
    return ids


def decoder(
    codes: Codes,
    widths: tuple[int, ...],
    activations: tuple[Activation, ...],
    *,
    norms: bool = False,
) -> tuple[Decoded, Parameters]:
    """A decoder with random parameters; norms stand after all layers."""
    rng = np.random.default_rng(7)
    parameters: Parameters = {}
    layers, inputs = [], codes.num_codes

    def made(name: str, array: Any) -> str:
        parameters[name] = np.asarray(array, np.float32)
        return name

    for number, (width, activation) in enumerate(zip(widths, activations, strict=True)):
        norm = BatchNorm(
            mean=made(f"{number}.mean", rng.normal(size=width)),
            variance=made(f"{number}.variance", 0.5 + rng.random(width)),
            weight=made(f"{number}.scale", 0.5 + rng.random(width)),
            bias=made(f"{number}.shift", rng.normal(size=width)),
        )
        layers.append(
            DecoderLayer(
                weight=made(f"{number}.w", rng.normal(size=(width, inputs)) * inputs**-0.5),
                bias=made(f"{number}.b", 0.1 * rng.normal(size=width)),
                norm=norm if norms else None,
                activation=activation,
            )
        )
        inputs = width
    table = Decoded(name="t", num_ids=NUM_IDS, dim=widths[-1], codes=codes, layers=tuple(layers))
    return table, parameters


def native(
    table: AnyComputed, parameters: Parameters, precision: Precision = "float32", isa: str = ""
) -> _native.ComputedTable:
    return native_table(*lower_computed(table, parameters), precision, isa)


def rows(made: _native.ComputedTable, ids: NDArray[np.int64], threads: int = 1) -> Any:
    return made.rows(ids.astype(np.uint32), threads)


def assert_near(found: Any, expected: Any, within: float = 1e-5) -> None:
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= within * np.abs(expected).max()


@each_isa
@each_family
def test_codes_are_the_same_integers(isa: str, codes: Codes) -> None:
    """A decoder of one layer that copies its inputs gives them back."""
    k = codes.num_codes
    layer = DecoderLayer(weight="one", bias="none")
    table = Decoded(name="t", num_ids=NUM_IDS, dim=k, codes=codes, layers=(layer,))
    parameters = {"one": np.eye(k, dtype=np.float32), "none": np.zeros(k, np.float32)}
    ids = some_ids(70)
    found = rows(native(table, parameters, isa=isa), ids)
    if codes.values == "uniform":
        m = codes.num_values
        assert np.array_equal(
            np.rint((found.astype(np.float64) + 1) * (m - 1) / 2), codes.codes(ids)
        )
    assert_near(found, codes.encode(ids), 1e-6)


@each_isa
@each_family
@pytest.mark.parametrize("activation", ["none", "relu", "mish", "sigmoid"])
def test_float32_rows_are_those_of_the_oracle(
    isa: str, codes: Codes, activation: Activation
) -> None:
    for widths in ((16,), (50, 3), (40, 70, 17)):
        activations = (*("relu", "mish")[: len(widths) - 1], activation)
        table, parameters = decoder(codes, widths, activations, norms=activation == "mish")  # type: ignore[arg-type]
        ids = some_ids(60)
        expected = computed_rows(table, parameters, ids)
        assert_near(rows(native(table, parameters, isa=isa), ids), expected)


@each_isa
@each_precision
@each_family
def test_bits_of_a_row_do_not_depend_on_what_it_is_made_with(
    isa: str, precision: Precision, codes: Codes
) -> None:
    table, parameters = decoder(codes, (64, 40, 16), ("mish", "relu", "sigmoid"))
    made = native(table, parameters, precision, isa)
    ids = some_ids(131)
    whole = rows(made, ids)
    assert np.array_equal(whole, rows(made, ids, 2))
    for count in (1, 5, 6, 16, 17, 47, 49):
        assert np.array_equal(whole[:count], rows(made, ids[:count]))
        assert np.array_equal(whole[-count:], rows(made, ids[-count:]))
    order = np.random.default_rng(1).permutation(ids.size)
    assert np.array_equal(whole[order], rows(made, ids[order]))


def rounded(precision: Precision, weight: Any) -> Any:
    """Weights as a precision keeps them."""
    if precision == "int8":
        scale = np.abs(weight).max(axis=1, keepdims=True) / 127
        return np.rint(weight / scale) * scale
    bits = np.asarray(weight, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return bits.astype(np.uint32).view(np.float32)


@each_isa
@pytest.mark.parametrize("precision", PRECISIONS[1:])
@pytest.mark.parametrize("num_bits", [1, 5, 8])
def test_codes_of_up_to_8_bits_lose_nothing_in_low_precision(
    isa: str, precision: Precision, num_bits: int
) -> None:
    """Weights are rounded, inputs are not."""
    codes = MultiplyShift(num_codes=200, num_bits=num_bits)
    table, parameters = decoder(codes, (24, 5), ("none", "none"))
    ids = some_ids(90)
    found = rows(native(table, parameters, precision, isa), ids)
    # A second layer of 24 inputs is float32, so that the first alone is rounded.
    per_value = codes.num_values - 1 if precision == "bfloat16" else 1
    first = rounded(precision, parameters["0.w"] / np.float32(per_value)) * per_value
    hidden = codes.encode(ids) @ first.T.astype(np.float64) + parameters["0.b"]
    expected = hidden @ parameters["1.w"].T.astype(np.float64) + parameters["1.b"]
    assert_near(found, expected, 2e-6)


@each_isa
@pytest.mark.parametrize(("precision", "within"), [("bfloat16", 1e-2), ("int8", 2e-2)])
def test_low_precision_is_near(isa: str, precision: Precision, within: float) -> None:
    table, parameters = decoder(
        MultiplyShift(num_codes=256), (128, 64, 16), ("relu", "relu", "none")
    )
    ids = some_ids(100)
    expected = computed_rows(table, parameters, ids)
    found = rows(native(table, parameters, precision, isa), ids)
    assert_near(found, expected, within)
    assert np.abs(found - expected).max() > 1e-4 * np.abs(expected).max()  # it is low indeed


@pytest.mark.parametrize("activation", ["mish", "sigmoid"])
@each_isa
def test_activations_hold_over_their_whole_range(isa: str, activation: Activation) -> None:
    """One code of 16 bits times 100: inputs from -100 to 100."""
    layer = DecoderLayer(weight="w", bias="b", activation=activation)
    codes = MultiplyShift(num_codes=1, num_bits=16)
    table = Decoded(name="t", num_ids=NUM_IDS, dim=1, codes=codes, layers=(layer,))
    parameters = {"w": np.full((1, 1), 100, np.float32), "b": np.zeros(1, np.float32)}
    ids = some_ids(5000)
    found = rows(native(table, parameters, isa=isa), ids)
    expected = activated(100 * codes.encode(ids), activation)
    assert np.all(np.abs(found - expected) <= 2e-5 * np.abs(expected) + 1e-30)


def test_hashed_and_split_rows_are_those_of_the_oracle() -> None:
    rng = np.random.default_rng(0)
    parameters = {
        "few": rng.normal(size=(300, 7)).astype(np.float32),
        "high": rng.normal(size=(1001, 7)).astype(np.float32),
        "low": rng.normal(size=(1000, 7)).astype(np.float32),
    }
    shape = {"name": "t", "num_ids": 1_000_500, "dim": 7}
    split = {"quotient": "high", "remainder": "low", "num_remainders": 1000}
    ids = some_ids(200) % 1_000_500
    tables: list[AnyComputed] = [
        HashedRows(**shape, table="few", seed=5),  # type: ignore[arg-type]
        QuotientRemainder(**shape, **split),  # type: ignore[arg-type]
        QuotientRemainder(**shape, **split, combine="add"),  # type: ignore[arg-type]
    ]
    for table in tables:
        expected = computed_rows(table, parameters, ids).astype(np.float32)
        found = rows(native(table, parameters), ids)
        np.testing.assert_array_equal(found, expected)


def test_rows_made_when_compiling_are_those_made_in_a_query() -> None:
    table, parameters = decoder(CODES[0], (64, 16), ("relu", "none"))
    for precision in PRECISIONS:
        found = NativeRows(precision)(table, parameters, some_ids(20))
        assert np.array_equal(found, rows(native(table, parameters, precision), some_ids(20)))


def test_an_id_outside_the_table_is_refused() -> None:
    table, parameters = decoder(CODES[0], (16,), ("none",))
    made = native(table, parameters)
    with pytest.raises(_native.IdError, match="4000000000, allowed 0 to 3999999999"):
        made.rows(np.array([NUM_IDS], np.uint32))


def test_layers_that_do_not_chain_are_refused() -> None:
    table, parameters = decoder(CODES[0], (64, 16), ("relu", "none"))
    with pytest.raises(_native.ProgramError, match=r"layer 1 of a decoder must be .*outputs, 64"):
        native(table, {**parameters, "1.w": parameters["1.w"][:, 1:]})
    with pytest.raises(_native.ProgramError, match="last layer of a decoder is 16 wide, must be 5"):
        native(Decoded(name="t", num_ids=9, dim=5, codes=CODES[0], layers=table.layers), parameters)
    with pytest.raises(_native.ProgramError, match="one number for each of 16"):
        native(table, {**parameters, "1.b": parameters["1.b"][1:]})


def test_hot_ids_must_differ() -> None:
    with pytest.raises(_native.ProgramError, match="7 is there twice"):
        _native.hot_index(np.array([7, 3, 7], np.uint32))
