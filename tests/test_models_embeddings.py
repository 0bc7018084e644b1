"""Representations of ids: the contract each keeps to, and what is its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.codes import Codes, MultiplyShift, PrimeModulus
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.features import Feature
from recfunnel.core.hashing import buckets
from recfunnel.models.dlrm import DLRM
from recfunnel.models.embeddings.base import EmbeddingSpec, embeddings
from recfunnel.models.embeddings.batch_norm import BatchNorm
from recfunnel.models.embeddings.codes import CodeValues
from recfunnel.models.embeddings.dhe import DHE, Decoder
from recfunnel.models.embeddings.hashed import Hashed, HashedTable
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.per_feature import BySize, PerFeature
from recfunnel.models.embeddings.quotient_remainder import QuotientRemainderTables
from recfunnel.models.embeddings.table import Table
from recfunnel.models.neumf import NeuMF
from recfunnel.models.reranker import Reranker
from recfunnel.testing.embedding import EmbeddingContract
from recfunnel.testing.model import EXAMPLE_SCHEMA, ModelContract, fill_with_noise

SHORT = MultiplyShift(num_codes=16)


def feature(num_ids: int, name: str = "page") -> Feature:
    return Feature(name=name, side="candidate", kind="categorical", cardinality=num_ids)


class TestTable(EmbeddingContract):
    spec = Table()


class TestDHE(EmbeddingContract):
    spec = DHE(codes=SHORT, decoder=Decoder(hidden=(24, 12)))


class TestDHEAsInKDD(EmbeddingContract):
    spec = DHE(
        codes=PrimeModulus(num_codes=16, values="gaussian"),
        decoder=Decoder(hidden=(24, 24), activation="mish", batch_norm=True),
    )


class TestDHEAsInMPRec(EmbeddingContract):
    spec = DHE(
        codes=PrimeModulus(num_codes=16, prime="shared"),
        decoder=Decoder(hidden=(24, 12), output="sigmoid"),
    )


class TestDHEOfOneLayer(EmbeddingContract):
    spec = DHE(codes=SHORT, decoder=Decoder(hidden=(), output="mish"))


class TestHashed(EmbeddingContract):
    spec = Hashed(num_rows=50)


class TestHashedFewerIdsThanRows(EmbeddingContract):
    spec = Hashed(num_rows=10_000)


class TestQuotientRemainder(EmbeddingContract):
    spec = QuotientRemainderTables(num_remainders=6)


class TestQuotientRemainderAdded(EmbeddingContract):
    spec = QuotientRemainderTables(num_remainders=40, combine="add")


class TestHybrid(EmbeddingContract):
    spec = Hybrid(second=DHE(codes=SHORT, decoder=Decoder(hidden=(9,))))


class TestTwoTables(EmbeddingContract):
    spec = Hybrid(first=Table(), second=Table())


class TestPerFeature(EmbeddingContract):
    spec = PerFeature(of={"page": Hybrid(first=Hashed(num_rows=9), second=Table())})


class TestBySize(EmbeddingContract):
    spec = BySize(large=DHE(codes=SHORT, decoder=Decoder(hidden=(4,))))


REPRESENTATIONS = [
    TestDHEAsInKDD.spec,
    TestHashed.spec,
    TestHybrid.spec,
    PerFeature(of={"item": TestHybrid.spec, "history": TestDHE.spec}),
]


class TestNeuMFOfHybrid(ModelContract):
    spec = NeuMF(mf_dim=3, mlp_dim=4, hidden=(6,), embedding=TestHybrid.spec)


class TestDLRMOfHybrid(ModelContract):
    spec = DLRM(embedding_dim=4, bottom=(6,), top=(7,), embedding=TestHybrid.spec)


class TestDLRMConcatPerFeature(ModelContract):
    spec = DLRM(
        embedding_dim=4,
        bottom=(6,),
        top=(7,),
        embedding=PerFeature(default=Hashed(num_rows=6), of={"item": TestHybrid.spec}),
        interaction="concat",
    )


class TestRerankerOfDHE(ModelContract):
    spec = Reranker(embedding_dim=4, hidden=(6,), use_history=True, embedding=TestHybrid.spec)

    def module(self) -> torch.nn.Module:
        module = super().module()
        return module.eval()


# Codes in torch.

FAMILIES = st.one_of(
    st.builds(
        MultiplyShift,
        num_codes=st.sampled_from([2, 8]),
        num_bits=st.integers(1, 16),
        seed=st.integers(0, 10**10),
        values=st.sampled_from(["uniform", "gaussian"]),
    ),
    st.builds(
        PrimeModulus,
        num_codes=st.sampled_from([2, 8]),
        num_buckets=st.sampled_from([2, 1000, 10**6, 1 << 24]),
        prime=st.sampled_from(["shared", "random"]),
        seed=st.integers(0, 10**10),
        values=st.sampled_from(["uniform", "gaussian"]),
    ),
)


@settings(deadline=None)
@given(family=FAMILIES, ids=st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_codes_are_the_same_integers_in_torch(family: Codes, ids: list[int]) -> None:
    encoder, array = CodeValues(family), np.array(ids, np.int64)

    assert (encoder.codes(torch.from_numpy(array)).numpy() == family.codes(array)).all()
    np.testing.assert_allclose(
        encoder(torch.from_numpy(array)).numpy(), family.encode(array), rtol=2e-5, atol=2e-6
    )


@pytest.mark.parametrize("num_rows", [1, 77, 2**20])
def test_buckets_are_the_same_in_torch(num_rows: int) -> None:
    module = HashedTable(2**32, num_rows, 1, seed=5)
    with torch.no_grad():
        module.rows.weight.copy_(torch.arange(num_rows)[:, None])
    ids = np.random.default_rng(0).integers(0, 2**32, 1000)

    rows = module(torch.from_numpy(ids)).detach().numpy()[:, 0]

    assert (rows == buckets(ids, num_rows, 5)).all()


# Deep hash embeddings.


def test_ids_that_occur_twice_are_decoded_once() -> None:
    module = DHE(codes=SHORT, decoder=Decoder(hidden=(5,))).build(feature(100), 3)
    sizes = []
    module.encoder.register_forward_hook(lambda _m, inputs, _o: sizes.append(len(inputs[0])))

    module(torch.tensor([[7, 7, 8], [7, 8, 9]]))

    assert sizes == [3]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=30))
def test_batch_norm_of_counted_rows_is_that_of_repeated_rows(occurrences: list[int]) -> None:
    """Outputs, gradients and running values are torch's own of all rows, repeated ones included."""
    place = torch.tensor(occurrences)
    distinct, back, counts = torch.unique(place, return_inverse=True, return_counts=True)
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours, theirs = BatchNorm(3).double(), torch.nn.BatchNorm1d(3).double()
    inputs = [x.clone().requires_grad_() for _ in range(2)]

    out = ours(inputs[0][distinct], counts)[back]
    expected = theirs(inputs[1][place])
    for value in (out, expected):
        (value * torch.arange(value.numel()).view(value.shape)).sum().backward()

    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_variance, theirs.running_var)


def test_the_papers_decoders_go_by_name() -> None:
    """KDD'21: 1024-1800x5-32 of 14.9 M parameters; MP-Rec: 2048-512-256-16."""
    of_kdd = DHE(codes="kdd21", decoder="kdd21").build(feature(10), 32)
    of_mprec = DHE(codes="mprec", decoder="mprec").build(feature(10), 16)

    weights = sum(p.numel() for p in of_kdd.layers.parameters())
    assert weights == pytest.approx(14.9e6, rel=0.005)
    assert len(of_kdd.norms) == 5
    assert [tuple(layer.weight.shape) for layer in of_mprec.layers] == [
        (512, 2048),
        (256, 512),
        (16, 256),
    ]
    assert torch.sigmoid(torch.logit(of_mprec(torch.arange(10)))).allclose(
        of_mprec(torch.arange(10))
    )
    assert (of_mprec.encoder.coefficients[2] == 1_000_003).all()


def test_features_have_codes_of_their_own_and_shared_vocabularies_share_them() -> None:
    spec = DHE(codes=SHORT)
    codes = {name: spec.build(feature(9, name), 2).encoder.codes(torch.arange(9)) for name in "ab"}
    history = Feature(
        name="history", side="context", kind="multi_valued", cardinality=9, vocabulary="a"
    )

    assert (codes["a"] != codes["b"]).float().mean() > 0.9
    assert (spec.build(history, 2).encoder.codes(torch.arange(9)) == codes["a"]).all()


def test_a_decoder_can_be_exported() -> None:
    module = TestDHEAsInKDD.spec.build(feature(100), 3).eval()
    ids = torch.tensor([1, 5, 5, 9])
    size = torch.export.Dim("n", min=2, max=1000)

    exported = torch.export.export(module, (ids,), dynamic_shapes=({0: size},))

    more = torch.arange(30)
    torch.testing.assert_close(exported.module()(more), module(more))


# Errors.


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"kind": "dhe", "decoder": {"hidden": [64, 0]}}, r"hidden widths are \(64, 0\)"),
        ({"kind": "dhe", "decoder": "kdd22"}, "Invalid enum value 'kdd22'.*kdd21, mprec"),
        ({"kind": "dhe", "codes": {"kind": "multiply_shift"}}, "required field `num_codes`"),
        (
            {"kind": "dhe", "codes": {"kind": "multiply_shift", "num_codes": 0}},
            "num_codes is 0, must be at least 1",
        ),
        ({"kind": "dhe", "decodr": {}}, "did you mean 'decoder'"),
        ({"kind": "hashed", "num_rows": 0}, "num_rows is 0, must be at least 1"),
        ({"kind": "quotient_remainder", "num_remainders": 1}, "must be at least 2"),
        ({"kind": "by_size", "min_ids": -1}, "min_ids is -1"),
        ({"kind": "dhee"}, "did you mean 'dhe'"),
        ({"kind": "hybrid", "second": {"kind": "tabel"}}, "did you mean 'table'"),
    ],
)
def test_a_representation_that_cannot_be_is_refused(plain: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        embeddings.parse(plain)


def test_a_name_that_is_no_feature_is_refused_with_a_suggestion() -> None:
    spec = DLRM(embedding=PerFeature(of={"itm": Table()}))

    for verb in (spec.build, spec.cost, spec.graph):
        with pytest.raises(StudyError, match="no feature with ids is named 'itm'; did you mean"):
            verb(EXAMPLE_SCHEMA)
    with pytest.raises(StudyError, match="named 'price'"):
        NeuMF(embedding=PerFeature(of={"price": Table()})).build(EXAMPLE_SCHEMA)


def test_by_size_needs_as_many_vectors_of_large_features_as_of_small() -> None:
    with pytest.raises(StudyError, match="small gives 1 vectors an id and large 2"):
        DLRM(embedding=BySize(large=Hybrid())).build(EXAMPLE_SCHEMA)


def test_an_id_outside_is_refused_in_words() -> None:
    module = DHE(codes=SHORT).build(feature(10), 2)

    with pytest.raises(InvalidInput, match=r"ids from 0 to 10 for a feature of 10 ids, .* id 0"):
        module(torch.tensor([0, 10]))


# Per feature.


def test_by_size_takes_whatever_is_smaller() -> None:
    """A decoder of 16-8-4 has 172 numbers: as many as a table of 43 rows."""
    large = DHE(codes=SHORT, decoder=Decoder(hidden=(8,)))
    spec = BySize(large=large)

    assert spec.chosen(feature(43), 4) == Table()
    assert spec.chosen(feature(44), 4) == large
    assert BySize(large=large, min_ids=10).chosen(feature(10), 4) == large
    assert BySize(large=large, min_ids=10).chosen(feature(9), 4) == Table()


@pytest.mark.parametrize("spec", REPRESENTATIONS)
def test_a_model_with_any_representation_learns(spec: EmbeddingSpec) -> None:
    """Ten steps on four rows: the loss falls."""
    torch.manual_seed(0)
    module = NeuMF(mf_dim=3, mlp_dim=4, hidden=(6,), embedding=spec).build(EXAMPLE_SCHEMA)
    fill_with_noise(module)
    context, items = TestNeuMFOfHybrid().tensors()
    wanted = torch.randn(5, 12, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        loss = (module(context, items) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < 0.97 * losses[0]
