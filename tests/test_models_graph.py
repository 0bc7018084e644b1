"""Every built-in model describes itself: its graph computes what its network does."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.load import load_graph
from recfunnel.core.codes import PrimeModulus
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.models.base import ModelSpec, as_tensor, to_tensors
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.dlrm import DLRM
from recfunnel.models.ease import EASE
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.embeddings.dhe import DHE, Decoder
from recfunnel.models.embeddings.hashed import Hashed
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.per_feature import BySize, PerFeature
from recfunnel.models.embeddings.quotient_remainder import QuotientRemainderTables
from recfunnel.models.embeddings.table import Table
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.module import Module
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise, random_features

WIDTHS = st.lists(st.integers(1, 9), min_size=0, max_size=3).map(tuple)
HIDDEN = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
DIMS = st.integers(1, 8)


@st.composite
def schemas(draw: st.DrawFn) -> FeatureSchema:
    """Ids on both sides and a history, and any number of every other kind of feature."""
    num_items = draw(st.integers(4, 20))
    features = [
        Feature(name="user", side="context", kind="categorical", cardinality=7),
        Feature(name="item", side="candidate", kind="categorical", cardinality=num_items),
    ]
    for side in ("context", "candidate"):
        for number in range(draw(st.integers(0, 2))):
            features.append(Feature(name=f"{side}.dense{number}", side=side, kind="dense"))
        for kind in ("categorical", "multi_valued"):
            for number in range(draw(st.integers(0, 2))):
                name = f"{side}.{kind}{number}"
                features.append(Feature(name=name, side=side, kind=kind, cardinality=5))
    history = Feature(
        name="history",
        side="context",
        kind="multi_valued",
        cardinality=num_items,
        vocabulary="item",
    )
    order = draw(st.permutations([*features, history]))
    return FeatureSchema(
        features=tuple(order), item_id="item", context_id="user", history="history"
    )


SMALL_DHE = DHE(
    codes=PrimeModulus(num_codes=6, values="gaussian"),
    decoder=Decoder(hidden=(5,), activation="mish", output="sigmoid", batch_norm=True),
)
EMBEDDINGS: st.SearchStrategy[EmbeddingSpec] = st.sampled_from(
    [
        Table(),
        SMALL_DHE,
        Hybrid(second=SMALL_DHE),
        Hybrid(first=Hashed(num_rows=3), second=Hybrid(second=Table())),
        QuotientRemainderTables(num_remainders=2, min_ids=1),
        PerFeature(default=Table(), of={"item": Hybrid(second=SMALL_DHE), "user": SMALL_DHE}),
        BySize(large=SMALL_DHE, min_ids=6),
    ]
)


SPECS: st.SearchStrategy[ModelSpec] = st.one_of(
    st.builds(
        DLRM,
        embedding_dim=DIMS,
        bottom=WIDTHS,
        top=HIDDEN,
        embedding=EMBEDDINGS,
        interaction=st.sampled_from(["dot", "concat"]),
    ),
    st.builds(
        NeuMF,
        mf_dim=DIMS,
        mlp_dim=DIMS,
        hidden=HIDDEN,
        use_features=st.booleans(),
        embedding=EMBEDDINGS,
    ),
    st.builds(MatrixFactorisation, num_factors=DIMS, item_bias=st.booleans()),
    st.builds(EASE, rating_weights=st.sampled_from([(), (0.2, 0.3), (0.1, 0.5, 1.0, 1.2)])),
    st.builds(Popularity),
    st.builds(
        Reranker,
        embedding_dim=DIMS,
        hidden=HIDDEN,
        use_history=st.booleans(),
        use_context_id=st.booleans(),
        factor_dim=st.integers(0, 3),
        embedding=EMBEDDINGS,
    ),
)


def check_equal(
    spec: ModelSpec, schema: FeatureSchema, num_score_inputs: int, seed: int = 0
) -> None:
    graph = spec.graph(schema, num_score_inputs)
    module = spec.build(schema, num_score_inputs)
    fill_with_noise(module, seed)
    rng = np.random.default_rng(seed)
    context = random_features(schema, "context", 3, rng)
    items = random_features(schema, "candidate", 6, rng)
    candidates = rng.integers(0, 6, (3, 4))
    others = rng.normal(size=(3, 4, num_score_inputs)).astype(np.float32)
    extra = others if num_score_inputs else None

    with torch.no_grad():
        expected = module.eval()(
            to_tensors(context),
            to_tensors(items),
            torch.from_numpy(candidates),
            None if extra is None else as_tensor(extra),
        )
    parameters = {name: tensor.numpy() for name, tensor in module.state_dict().items()}

    assert graph is not None
    assert graph.parameter_names <= parameters.keys()
    found = evaluate(graph, parameters, context, items, candidates, extra)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)


@settings(max_examples=150, deadline=None)
@given(spec=SPECS, schema=schemas(), num_scores=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_graph_computes_what_the_network_does(
    spec: ModelSpec, schema: FeatureSchema, num_scores: int, seed: int
) -> None:
    if isinstance(spec, Reranker):
        schema = with_a_context_number(schema)  # else it may know nothing of the user
    check_equal(spec, schema, num_scores if isinstance(spec, Reranker) else 0, seed)


def with_a_context_number(schema: FeatureSchema) -> FeatureSchema:
    more = Feature(name="activity", side="context", kind="dense")
    return msgspec.structs.replace(schema, features=(*schema.features, more))


@pytest.mark.parametrize(
    "without",
    [
        (),
        ("activity",),
        ("year", "price"),
        ("activity", "year"),
        ("activity", "year", "price"),
        ("user", "age", "history"),
        ("item", "genres"),
        ("user", "age", "history", "item", "genres"),
        ("user", "age", "history", "activity"),
    ],
)
def test_whatever_the_bottom_network_reads(without: tuple[str, ...]) -> None:
    check_equal(
        DLRM(embedding_dim=4, bottom=(6, 5), top=(7, 3), without=without), EXAMPLE_SCHEMA, 0
    )


@pytest.mark.parametrize("side", ["context", "candidate"])
def test_a_side_without_features_adds_nothing(side: str) -> None:
    names = tuple(f.name for f in EXAMPLE_SCHEMA.features if f.side == side)

    check_equal(NeuMF(mf_dim=2, mlp_dim=3, hidden=(4,), without=names), EXAMPLE_SCHEMA, 0)


class Computed(EmbeddingSpec):
    """An embedding that no graph can say."""


@pytest.mark.parametrize(
    "spec",
    [
        Module(path="somewhere:Network"),
        NeuMF(embedding=Computed()),
        DLRM(embedding=Computed()),
        Reranker(embedding=Computed()),
        Reranker(without=("item", "year", "price", "genres")),
        DLRM(without=tuple(f.name for f in EXAMPLE_SCHEMA.features if f.name != "item")),
    ],
)
def test_what_no_graph_can_say_has_none(spec: ModelSpec) -> None:
    assert spec.graph(EXAMPLE_SCHEMA) is None


def test_a_finished_model_keeps_its_graph_beside_its_parameters(tmp_path: Path) -> None:
    spec = Reranker(embedding_dim=4, hidden=(5,), use_history=True, factor_dim=2)
    module = spec.build(EXAMPLE_SCHEMA, 2)
    save_checkpoint(tmp_path / "m", spec, EXAMPLE_SCHEMA, module, name="m", score_inputs=["a", "b"])

    stored = load_graph(tmp_path / "m")

    assert stored.graph == spec.graph(EXAMPLE_SCHEMA, 2)
    assert (stored.name, stored.schema, stored.score_inputs) == ("m", EXAMPLE_SCHEMA, ("a", "b"))
    assert stored.parameters.keys() == module.state_dict().keys()
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(stored.parameters[name], tensor.numpy())
