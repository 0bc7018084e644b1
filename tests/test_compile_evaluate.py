"""The float64 evaluator: every operation by hand, on every side."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from recfunnel.compile.evaluate import evaluate, evaluate_side
from recfunnel.compile.widths import node_widths
from recfunnel.core.arrays import Ragged
from recfunnel.core.errors import InvalidInput, ModelError
from recfunnel.core.features import Features
from recfunnel.core.graph import (
    Affine,
    AnyOp,
    Concat,
    CrossDots,
    CrossLinear,
    Dense,
    Given,
    Linear,
    Lookup,
    Multiply,
    Norm,
    PairDots,
    Pool,
    RankingGraph,
    Record,
    Relu,
    RowSum,
    ScaledLinear,
    Slice,
    Sum,
)

RNG = np.random.default_rng(0)
CONTEXT = Features(
    np.array([[1], [2]]),
    RNG.normal(size=(2, 4)).astype(np.float32),
    (Ragged.from_rows([[0, 2], []], [[3.0, -4.0], []]),),
)
ITEMS = Features(
    np.array([[2], [0], [1]]),
    RNG.normal(size=(3, 6)).astype(np.float32),
    (Ragged.from_rows([[1]] * 3),),
)
USER = Dense(side="context", columns=(0, 1, 2, 3))
ITEM = Dense(side="candidate", columns=(0, 1, 2, 3, 4, 5))
u, v = CONTEXT.dense.astype(float), ITEMS.dense.astype(float)
W = RNG.normal(size=(3, 9))


def last(*nodes: AnyOp) -> RankingGraph:
    return RankingGraph(nodes=nodes, score_of=len(nodes) - 1)


def scores(graph: RankingGraph, **parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    return evaluate(graph, parameters, CONTEXT, ITEMS)


def summed(*nodes: AnyOp) -> RankingGraph:
    """A graph that adds up the last node's columns with weights w."""
    return last(*nodes, Linear(x_of=len(nodes) - 1, weight="w"))


def test_a_lookup_is_the_row_of_the_id() -> None:
    table = np.array([10.0, 20.0, 30.0])

    found = scores(last(Lookup(side="candidate", column=0, table="t")), t=table)
    of_user = scores(last(Lookup(side="context", column=0, table="t")), t=table)

    assert_allclose(found, [[30, 10, 20]] * 2)
    assert_allclose(of_user, [[20] * 3, [30] * 3])


@pytest.mark.parametrize(
    ("norm", "expected"), [("sum", 3 - 12), ("mean", (3 - 12) / 7), ("l2", (3 - 12) / 5)]
)
def test_a_pool_is_the_weighted_sum_over_its_norm_and_nothing_where_the_list_is_empty(
    norm: Norm, expected: float
) -> None:
    graph = last(Pool(side="context", column=0, table="t", norm=norm))

    assert_allclose(scores(graph, t=np.array([[1.0], [2.0], [3.0]])), [[expected] * 3, [0] * 3])


def test_a_list_without_weights_counts_every_value_once() -> None:
    graph = last(Pool(side="candidate", column=0, table="t"))

    assert_allclose(scores(graph, t=np.array([[1.0], [2.0], [3.0]])), 2)


def test_row_sums_read_the_listed_rows_at_the_candidates_id() -> None:
    table = RNG.normal(size=(3, 3))
    plain = last(RowSum(list_column=0, id_column=0, table="t"))
    weighted = last(RowSum(list_column=0, id_column=0, table="t", weighting="c"))
    ids = np.array([2, 0, 1])

    assert_allclose(scores(plain, t=table)[0], (3 * table[0] - 4 * table[2])[ids])
    counted = scores(weighted, t=table, c=np.array([5.0, 6.0, 8.0, 9.0]))
    assert_allclose(counted[0], (8 * table[0] + 5 * table[2])[ids])
    assert_allclose(counted[1], 0)


def test_given_scores_come_with_the_call() -> None:
    given = RNG.normal(size=(2, 3, 1)).astype(np.float32)

    assert_allclose(evaluate(last(Given(width=1)), {}, CONTEXT, ITEMS, given=given), given[:, :, 0])
    with pytest.raises(ModelError, match="reads 1 given scores, was given None"):
        evaluate(last(Given(width=1)), {}, CONTEXT, ITEMS)


def test_layers_and_arithmetic() -> None:
    w, b, s, d, m = (RNG.normal(size=shape) for shape in ((1, 4), (1,), (4,), (4,), (4,)))
    graph = last(
        USER,
        Affine(x_of=0, subtract="s", divide="d", multiply="m"),
        Relu(x_of=1),
        Slice(x_of=2, start=1, stop=4),
        Slice(x_of=0, start=0, stop=1),
        Concat(parts_of=(4, 3)),
        Dense(side="candidate", columns=(5, 0, 1, 2)),
        Multiply(x_of=5, y_of=6),
        Sum(terms_of=(7, 0, 7)),
        Linear(x_of=8, weight="w", bias="b"),
    )
    hidden = np.maximum((u - s) / d * m, 0)
    hidden[:, 0] = u[:, 0]
    product = hidden[:, None] * v[:, [5, 0, 1, 2]]

    found = scores(graph, w=w, b=b, s=s, d=d, m=m)

    assert_allclose(found, (2 * product + u[:, None]) @ w[0] + b)


def test_pair_dots_come_row_by_row_of_the_lower_triangle() -> None:
    x = v.reshape(3, 3, 2)
    expected = np.stack([(x[:, i] * x[:, j]).sum(1) for i, j in ((1, 0), (2, 0), (2, 1))], 1)

    found = evaluate_side(last(ITEM, PairDots(x_of=0, dim=2)), {}, ITEMS, "candidate")

    assert_allclose(found[1], expected)


def test_cross_dots_go_through_the_second_first_and_cross_linear_is_a_layer_on_them() -> None:
    x, y = v.reshape(3, 3, 2), u.reshape(2, 2, 2)
    dots = np.einsum("cvi,qui->qcvu", x, y).reshape(2, 3, 6)
    w = RNG.normal(size=(1, 6))

    apart = summed(ITEM, USER, CrossDots(x_of=0, y_of=1, dim=2))
    at_once = last(ITEM, USER, CrossLinear(x_of=0, y_of=1, dim=2, weight="w"))

    assert_allclose(scores(apart, w=w), dots @ w[0])
    assert_allclose(scores(at_once, w=w), dots @ w[0])


@pytest.mark.parametrize("base", ["", "base"])
def test_a_scaled_linear_adds_a_layer_on_the_product_to_one_on_its_first_factor(base: str) -> None:
    w, plain = RNG.normal(size=(1, 4)), RNG.normal(size=(1, 4))
    half = Dense(side="candidate", columns=(0, 1, 2, 3))
    graph = last(USER, half, ScaledLinear(x_of=1, y_of=0, weight="w", base=base))
    expected = (u[:, None] * v[:, :4]) @ w[0] + bool(base) * (v[:, :4] @ plain[0])

    assert_allclose(scores(graph, w=w, base=plain), expected)


def test_records_are_the_items_rows() -> None:
    records = RNG.normal(size=(3, 5)).astype(np.float32)
    candidates = np.array([[2, 0], [1, 1]])

    found = evaluate(last(Record(start=3, stop=4)), {}, CONTEXT, ITEMS, candidates, records=records)

    assert_allclose(found, records[candidates, 3])


def test_candidates_are_rows_of_the_items() -> None:
    graph = summed(USER, Dense(side="candidate", columns=(0, 1, 2, 3)), Multiply(x_of=0, y_of=1))
    candidates = np.array([[2, 0], [1, 1]])
    whole = scores(graph, w=W[0, :4])

    found = evaluate(graph, {"w": W[0, :4]}, CONTEXT, ITEMS, candidates)

    assert_allclose(found, np.take_along_axis(whole, candidates, axis=1))


def test_an_id_outside_its_table_is_refused() -> None:
    graph = last(Lookup(side="candidate", column=0, table="t"))

    with pytest.raises(InvalidInput, match="'t' has rows 0 to 1, asked for 0 to 2"):
        scores(graph, t=np.zeros((2, 1)))


def test_widths_follow_from_the_parameters_and_must_agree() -> None:
    graph = summed(USER, ITEM, CrossDots(x_of=1, y_of=0, dim=2))

    assert node_widths(graph, {"w": W[0, :6]}) == (4, 6, 6, 1)
    with pytest.raises(ModelError, match=r"node 3 .* w has shape \(5,\), must have \(6,\)"):
        node_widths(graph, {"w": W[0, :5]})
    with pytest.raises(ModelError, match="node 3 reads the parameter 'w', which is not there"):
        node_widths(graph, {})
    with pytest.raises(ModelError, match="no whole number of vectors 4 long"):
        node_widths(last(ITEM, PairDots(x_of=0, dim=4)), {})
