"""What a stored model asks of the accelerator: its own multiply-adds, rows and features."""

import numpy as np
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.core.graph import (
    Concat,
    CrossDots,
    Given,
    Linear,
    Lookup,
    PairDots,
    Pool,
    RankingGraph,
    ScaledLinear,
)
from recfunnel.profile.accel_work import work_of_graph

PARAMETERS = {
    "users": np.zeros((9, 4), np.float32),
    "items": np.zeros((9, 4), np.float32),
    "shops": np.zeros((9, 4), np.float32),
    "hidden": np.zeros((7, 8), np.float32),
    "hidden_user": np.zeros((7, 4), np.float32),
    "last": np.zeros((1, 10), np.float32),
}
USER = Lookup(side="context", column=0, table="users")
ITEM = Lookup(side="candidate", column=0, table="items")
SHOP = Lookup(side="candidate", column=1, table="shops")
NODES = (
    USER,
    ITEM,
    SHOP,
    Concat(parts_of=(1, 2)),
    Linear(x_of=3, weight="hidden"),
    Linear(x_of=0, weight="hidden_user"),
    PairDots(x_of=3, dim=4),
    CrossDots(x_of=3, y_of=0, dim=4),
    Concat(parts_of=(4, 6, 7)),
    Linear(x_of=8, weight="last"),
)


def graph(*nodes: object) -> RankingGraph:
    return RankingGraph(nodes=nodes, score_of=len(nodes) - 1)  # type: ignore[arg-type]


def test_layers_dots_and_rows_of_candidates_are_the_work() -> None:
    work = work_of_graph(graph(*NODES), PARAMETERS, 5)

    assert [(each.num_inputs, each.num_outputs) for each in work.shape.layers] == [(8, 7), (10, 1)]
    assert work.shape.interaction is not None
    assert work.shape.interaction.macs == 3 * 4  # item by shop, and both by the user
    assert (work.num_tables, work.vector_bytes, work.num_dense, work.num_out) == (2, 16, 0, 5)


@pytest.mark.parametrize("interaction", ["dot", "concat"])
def test_a_dlrm_has_the_multiply_adds_of_its_cost(interaction: str) -> None:
    pytest.importorskip("torch")
    from recfunnel.models.dlrm import DLRM

    sides = ("context",) * 3 + ("candidate",) * 5
    schema = FeatureSchema(
        features=tuple(
            Feature(name=f"id{n}", side=side, kind="categorical", cardinality=50)
            for n, side in enumerate(sides)
        )
        + tuple(Feature(name=f"x{n}", side="candidate", kind="dense") for n in range(3))
    )
    model = DLRM(embedding_dim=8, bottom=(16,), top=(32, 16), interaction=interaction)
    network = model.build(schema)
    parameters = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    made = model.graph(schema)
    assert made is not None

    work = work_of_graph(made, parameters, 5)

    # 5 items and the bottom vector among each other, and with 3 of the user: 33 pairs of 36
    pairs = 33 if interaction == "dot" else 0
    layers = model.cost(schema).flops_per_item / 2 - pairs * 8
    assert work.shape.num_weights == layers
    assert (work.num_tables, work.num_dense, work.vector_bytes) == (5, 3, 32)
    if interaction == "dot":
        assert work.shape.interaction is not None
        assert work.shape.interaction.num_dots == 36


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ((USER, Linear(x_of=0, weight="hidden_user")), "no layer that works on candidates"),
        ((Pool(side="candidate", column=0, table="items"),), "lists of ids"),
        ((ITEM, USER, ScaledLinear(x_of=0, y_of=1, weight="hidden_user")), "is compiled"),
        (
            (*NODES, CrossDots(x_of=1, y_of=2, dim=2), Given(width=1)),
            r"dots of vectors \[2, 4\] long",
        ),
    ],
)
def test_what_the_accelerator_cannot_do_is_refused(nodes, says) -> None:
    with pytest.raises(StudyError, match=says):
        work_of_graph(graph(*nodes), PARAMETERS, 5)
