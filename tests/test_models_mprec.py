"""Sizes and work of MP-Rec's models: what follows exactly from its artifact's configuration.

Golden numbers were computed apart from this code, from the published flags and table sizes.
"""

import tracemalloc
from dataclasses import dataclass

import msgspec
import pytest

from recfunnel.core.codes import PrimeModulus
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.core.model import ModelCost
from recfunnel.data.criteo_shapes import KAGGLE, TERABYTE, criteo_schema
from recfunnel.models.dlrm import DLRM
from recfunnel.models.embeddings.base import EmbeddingSpec
from recfunnel.models.embeddings.dhe import DHE, Decoder
from recfunnel.models.embeddings.hybrid import Hybrid
from recfunnel.models.embeddings.per_feature import BySize
from recfunnel.models.embeddings.table import Table
from recfunnel.models.mprec import MPREC, REPRESENTATIONS

ROWS = {"kaggle": KAGGLE, "terabyte": TERABYTE}
TABLE_BYTES = {name: 4 * MPREC[name].embedding_dim * sum(rows) for name, rows in ROWS.items()}


TABLE = Table()


def cost_of(name: str, embedding: EmbeddingSpec = TABLE, interaction: str = "concat") -> ModelCost:
    spec = msgspec.structs.replace(MPREC[name], embedding=embedding, interaction=interaction)
    return spec.cost(criteo_schema(ROWS[name]))


def dhe(num_codes: int, *hidden: int) -> DHE:
    codes = PrimeModulus(num_codes=num_codes, prime="shared")
    return DHE(codes=codes, decoder=Decoder(hidden=hidden, output="sigmoid"))


def test_the_data_sets_have_as_many_rows_as_published() -> None:
    assert (len(KAGGLE), sum(KAGGLE), len(TERABYTE), sum(TERABYTE)) == (
        26,
        33_762_577,
        26,
        49_126_297,
    )
    assert TABLE_BYTES["kaggle"] / 1e9 == pytest.approx(2.161, abs=5e-4)
    assert TABLE_BYTES["terabyte"] / 1e9 == pytest.approx(12.576, abs=5e-4)


@dataclass(frozen=True)
class Golden:
    """One decoder on every feature of a data set; sizes in megabytes, work in MFLOP."""

    data: str
    shape: tuple[int, ...]
    num_parameters: int
    size: float
    hash_size: float
    work_per_id: float
    work_per_sample: float
    times_base: float
    compression: float
    crossover: int


GOLDEN = [
    Golden("kaggle", (2048,), 32_784, 3.4, 0.85, 0.066, 1.7, 2.8, 507, 2_049),
    Golden("kaggle", (1024, 128), 133_264, 13.9, 0.43, 0.266, 6.9, 8.1, 151, 8_329),
    Golden("kaggle", (512, 512, 256), 398_096, 41.4, 0.21, 0.795, 20.7, 22, 52, 24_881),
    Golden("kaggle", (1024, 512, 256), 660_240, 68.7, 0.43, 1.319, 34.3, 36, 31, 41_265),
    Golden("kaggle", (2048, 512, 256), 1_184_528, 123.2, 0.85, 2.367, 61.6, 64, 17, 74_033),
    Golden("terabyte", (1024, 512, 256), 672_576, 69.9, 0.43, 1.343, 34.9, 23, 179, 10_509),
    Golden("terabyte", (2048, 512, 256), 1_196_864, 124.5, 0.85, 2.392, 62.2, 40, 100, 18_701),
]


def as_printed(number: float) -> dict[str, float]:
    """Within half a unit of the last digit a golden number is printed with."""
    digits = len(str(number).partition(".")[2]) if isinstance(number, float) else 0
    return {"abs": 0.5000001 * 10**-digits, "rel": 0}


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda g: f"{g.data}-{g.shape}")
def test_decoders_have_the_golden_sizes_and_work(golden: Golden) -> None:
    spec, dim = dhe(*golden.shape), MPREC[golden.data].embedding_dim
    one = spec.cost(Feature(name="f", side="candidate", kind="categorical", cardinality=9), dim)

    assert one.parameter_bytes == 4 * golden.num_parameters
    assert one.hash_bytes == 16 * golden.shape[0]
    assert 26 * one.parameter_bytes / 1e6 == pytest.approx(golden.size, **as_printed(golden.size))
    hash_size = pytest.approx(golden.hash_size, **as_printed(golden.hash_size))
    assert 26 * one.hash_bytes / 1e6 == hash_size
    work = pytest.approx(golden.work_per_id, **as_printed(golden.work_per_id))
    assert one.flops_per_lookup / 1e6 == work
    per_sample = pytest.approx(golden.work_per_sample, **as_printed(golden.work_per_sample))
    assert 26 * one.flops_per_lookup / 1e6 == per_sample


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda g: f"{g.data}-{g.shape}")
def test_models_have_the_golden_ratios(golden: Golden) -> None:
    spec = dhe(*golden.shape)
    table, computed = cost_of(golden.data), cost_of(golden.data, spec)
    base, with_decoders = (whole_gram(golden.data, e) for e in (Table(), spec))

    assert with_decoders / base == pytest.approx(golden.times_base, **as_printed(golden.times_base))
    hash_bytes = 26 * 16 * golden.shape[0]
    dense = table.parameter_bytes - TABLE_BYTES[golden.data]
    compression = TABLE_BYTES[golden.data] / (computed.parameter_bytes - dense + hash_bytes)
    assert compression == pytest.approx(golden.compression, **as_printed(golden.compression))
    assert computed.hash_operations_per_item == 4 * 26 * golden.shape[0]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda g: f"{g.data}-{g.shape}")
def test_a_table_of_that_many_rows_is_as_large_as_the_decoder(golden: Golden) -> None:
    rule, dim = BySize(large=dhe(*golden.shape)), MPREC[golden.data].embedding_dim

    def chosen(num_ids: int) -> EmbeddingSpec:
        feature = Feature(name="f", side="candidate", kind="categorical", cardinality=num_ids)
        return rule.chosen(feature, dim)

    crossover = -(-golden.num_parameters // dim)
    assert crossover == golden.crossover
    exact = golden.num_parameters % dim == 0
    assert chosen(crossover - 1 + exact) == Table()
    assert chosen(crossover + exact) == rule.large


def whole_gram(name: str, embedding: EmbeddingSpec) -> float:
    """FLOPs of a sample with dot as the artifact computes it: all products, each pair twice.

    Ours counts, and computes, every pair once.
    """
    cost = cost_of(name, embedding, "dot")
    any_feature = Feature(name="f", side="candidate", kind="categorical", cardinality=9)
    vectors = 26 * embedding.num_vectors(any_feature) + 1
    more = vectors**2 - vectors * (vectors - 1) // 2
    return cost.flops_per_item + 2 * more * MPREC[name].embedding_dim


@pytest.mark.parametrize(
    ("name", "concat", "dot"),
    [
        ("kaggle", (1.015, 1.441), (0.972, 2.090)),
        ("terabyte", (2.865, 4.569), (1.613, 2.931)),
    ],
)
def test_the_dense_part_does_the_golden_work(
    name: str, concat: tuple[float, float], dot: tuple[float, float]
) -> None:
    """Table, and hybrid without its decoders: two tables have the same interaction."""
    embeddings = (Table(), Hybrid(first=Table(), second=Table()))

    found = [cost_of(name, e).flops_per_item / 1e6 for e in embeddings]
    assert found == [pytest.approx(number, **as_printed(number)) for number in concat]
    found = [whole_gram(name, e) / 1e6 for e in embeddings]
    assert found == [pytest.approx(number, **as_printed(number)) for number in dot]


@pytest.mark.parametrize(
    ("codes", "name", "times"),
    [
        (1024, "kaggle", 34.8),
        (2048, "kaggle", 61.6),
        (1024, "terabyte", 13.2),
        (2048, "terabyte", 22.7),
    ],
)
def test_with_concat_the_ratios_are_golden_too(codes: int, name: str, times: float) -> None:
    ratio = cost_of(name, dhe(codes, 512, 256)).flops_per_item / cost_of(name).flops_per_item

    assert ratio == pytest.approx(times, **as_printed(times))


@pytest.mark.parametrize(
    ("representation", "interaction", "size"),
    [
        ("dhe", "concat", 126.08e6),
        ("dhe", "dot", 125.95e6),
        ("table", "concat", 2.163e9),
        ("table", "dot", 2.163e9),
        ("hybrid", "concat", 2.288e9),
        ("hybrid", "dot", 2.289e9),
    ],
)
def test_whole_models_have_the_papers_sizes(
    representation: str, interaction: str, size: float
) -> None:
    """126 MB, 2.16 GB and 2.29 GB, the hash functions' 16 bytes each included."""
    cost = cost_of("kaggle", REPRESENTATIONS[representation], interaction)
    hashes = 0 if representation == "table" else 26 * 2048 * 16

    assert cost.parameter_bytes + hashes == pytest.approx(size, rel=3e-4)


def test_select_computes_the_five_largest_features() -> None:
    """36.4 MB of tables and five decoders, 60 MB."""
    tables = 4 * 16 * sum(sorted(KAGGLE)[:-5])
    dense = cost_of("kaggle").parameter_bytes - TABLE_BYTES["kaggle"]

    cost = cost_of("kaggle", REPRESENTATIONS["select"])

    assert tables / 1e6 == pytest.approx(36.4, abs=0.05)
    assert cost.parameter_bytes - dense == tables + 5 * 4 * 1_184_528
    assert (cost.parameter_bytes - dense) / 1e6 == pytest.approx(60, abs=0.5)


@pytest.mark.parametrize(
    ("name", "num_computed", "size", "work"),
    [("kaggle", 8, 24, 10.6), ("terabyte", 13, 40, 17.5)],
)
def test_the_rule_of_the_smaller_representation(
    name: str, num_computed: int, size: float, work: float
) -> None:
    """Most decoders are larger than the tables they stand for (k = 1024)."""
    spec, dim = BySize(large=dhe(1024, 512, 256)), MPREC[name].embedding_dim
    schema = criteo_schema(ROWS[name])
    features = schema.select("candidate", "categorical")

    whole = sum(spec.cost(f, dim).parameter_bytes for f in features) / 1e6
    assert sum(spec.chosen(f, dim) == spec.large for f in features) == num_computed
    assert whole == pytest.approx(size, abs=0.8)
    flops = sum(spec.cost(f, dim).flops_per_lookup for f in features) / 1e6
    assert flops == pytest.approx(work, abs=0.06)


def test_stating_a_cost_allocates_nothing() -> None:
    tracemalloc.start()
    cost = cost_of("terabyte", REPRESENTATIONS["hybrid"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert cost.parameter_bytes > 12e9
    assert peak < 1e6


def test_a_built_model_is_as_large_as_stated() -> None:
    """At few ids: the numbers above are those of the network that is built."""
    schema = criteo_schema(tuple(min(rows, 20) for rows in KAGGLE))
    spec: DLRM = msgspec.structs.replace(MPREC["kaggle"], embedding=Hybrid(second=dhe(64, 32)))

    module = spec.build(schema)

    stored = sum(tensor.nbytes for tensor in module.state_dict().values())
    assert spec.cost(schema).parameter_bytes == stored
    assert isinstance(schema, FeatureSchema)
