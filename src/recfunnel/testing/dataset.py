"""What every data set spec promises; subclass it in the tests of a new kind.

    class TestContract(DatasetContract):
        spec = Synthetic(num_users=60, num_items=40, mean_ratings=15)

Letters: Q queries, C columns.
"""

from pathlib import Path

import numpy as np
import pytest

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import (
    Dataset,
    DatasetSpec,
    QuerySet,
    datasets,
    load_dataset,
    save_dataset,
)
from recfunnel.core.spec import kind_of, to_builtins


class DatasetContract:
    """Promises of `DatasetSpec.prepare`.

    A test class sets `spec`, or overrides `make_spec` where the data must be written first. Use a
    small spec: it is prepared several times.
    """

    spec: DatasetSpec
    seed_matters = True
    """Whether another seed must give another split (not where file order or time decides all)."""

    @pytest.fixture
    def made_spec(self, tmp_path: Path) -> DatasetSpec:
        """The spec under test."""
        return self.make_spec(tmp_path)

    def make_spec(self, folder: Path) -> DatasetSpec:
        """The spec under test; may write source files into an empty folder."""
        del folder
        return self.spec

    @pytest.fixture
    def dataset(self, made_spec: DatasetSpec) -> Dataset:
        """It, prepared with seed 0."""
        return made_spec.prepare(seed=0)

    def test_is_registered_and_survives_being_written(self, made_spec: DatasetSpec) -> None:
        """Plain data and back gives an equal spec."""
        plain = to_builtins(made_spec)
        assert plain["kind"] == kind_of(made_spec)
        assert datasets.parse(plain) == made_spec

    def test_schema_holds(self, dataset: Dataset) -> None:
        """Every id is within its cardinality and every number is finite."""
        dataset.check()
        for queries in (dataset.validation, dataset.test):
            queries.items.check(queries.schema, "candidate")

    def test_same_seed_gives_the_same_data(self, made_spec: DatasetSpec, dataset: Dataset) -> None:
        """Preparing twice changes nothing."""
        assert_same_dataset(dataset, made_spec.prepare(seed=0))

    def test_another_seed_gives_another_split(
        self, made_spec: DatasetSpec, dataset: Dataset
    ) -> None:
        """The seed is used."""
        if not self.seed_matters:
            pytest.skip("file order or time decides this split")
        other = made_spec.prepare(seed=1)
        assert not (
            _same_ragged(dataset.test.relevance, other.test.relevance)
            and _same_optional(dataset.test.candidates, other.test.candidates)
            and np.array_equal(dataset.train.item_rows, other.train.item_rows)
        )

    def test_relevant_columns_may_be_ranked(self, dataset: Dataset) -> None:
        """No relevant column is excluded, none is listed twice, and gains are above 0."""
        for queries in (dataset.validation, dataset.test):
            for query in range(len(queries)):
                relevant = queries.relevance.row(query)
                assert queries.allowed(query)[relevant].all()
                assert np.unique(relevant).size == relevant.size
            gains = queries.relevance.weights
            assert gains is None or np.all(gains > 0)

    def test_splits_are_disjoint(self, dataset: Dataset) -> None:
        """No relevant pair of validation or test was trained on, nor is one in both."""
        trained = _train_pairs(dataset)
        validation = _relevant_pairs(dataset, dataset.validation)
        test = _relevant_pairs(dataset, dataset.test)
        assert trained.isdisjoint(validation)
        assert trained.isdisjoint(test)
        assert validation.isdisjoint(test)

    def test_history_is_what_training_shows(self, dataset: Dataset) -> None:
        """A history lists training items only, so that nothing to be found is given away."""
        schema = dataset.schema
        if not schema.history:
            pytest.skip("no history feature")
        column = schema.column(schema.history)
        for queries in (dataset.validation, dataset.test):
            history = queries.context.multi_valued[column]
            for query in range(len(queries)):
                relevant = queries.item_rows(query, queries.relevance.row(query))
                ids = queries.items.categorical[relevant, schema.column(schema.item_id)]
                assert not np.intersect1d(history.row(query), ids).size

    def test_item_ids_are_rows(self, dataset: Dataset) -> None:
        """Where items have an identity, the item of row i has id i + 1."""
        schema = dataset.schema
        if not schema.item_id:
            pytest.skip("items have no identity")
        ids = dataset.items.categorical[:, schema.column(schema.item_id)]
        assert np.array_equal(ids, np.arange(1, len(dataset.items) + 1))

    def test_says_where_it_comes_from(self, dataset: Dataset) -> None:
        """Provenance names source, licence and split."""
        source = dataset.provenance
        assert source.source
        assert source.licence
        assert source.split

    def test_survives_being_stored(self, dataset: Dataset, tmp_path: Path) -> None:
        """Saved and loaded it is the same."""
        save_dataset(tmp_path / "stored", dataset)
        assert_same_dataset(dataset, load_dataset(tmp_path / "stored"))


def assert_same_dataset(a: Dataset, b: Dataset) -> None:
    """Hold two data sets equal, array by array."""
    assert (a.name, a.task, a.schema, a.provenance) == (b.name, b.task, b.schema, b.provenance)
    _assert_same_arrays(a.context.to_arrays("context"), b.context.to_arrays("context"))
    _assert_same_arrays(a.items.to_arrays("items"), b.items.to_arrays("items"))
    for name in ("context_rows", "item_rows", "label", "rating"):
        assert np.array_equal(getattr(a.train, name), getattr(b.train, name)), name
    for one, other in ((a.validation, b.validation), (a.test, b.test)):
        _assert_same_arrays(one.context.to_arrays("context"), other.context.to_arrays("context"))
        assert _same_optional(one.candidates, other.candidates)
        assert _same_ragged(one.excluded, other.excluded)
        assert _same_ragged(one.relevance, other.relevance)


def _assert_same_arrays(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert array.dtype == b[name].dtype, name
        assert np.array_equal(array, b[name]), name


def _same_ragged(a: Ragged, b: Ragged) -> bool:
    return (
        np.array_equal(a.values, b.values)
        and np.array_equal(a.offsets, b.offsets)
        and _same_optional(a.weights, b.weights)
    )


def _same_optional(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is None and b is None
    return np.array_equal(a, b)


def _train_pairs(dataset: Dataset) -> set[tuple[int, int]]:
    train, schema = dataset.train, dataset.schema
    owners = np.zeros(len(train), np.int64)
    if schema.context_id:
        ids = dataset.context.categorical[:, schema.column(schema.context_id)]
        owners = ids[train.context_rows]
    return set(zip(owners.tolist(), train.item_rows.tolist(), strict=True))


def _relevant_pairs(dataset: Dataset, queries: QuerySet) -> set[tuple[int, int]]:
    pairs: set[tuple[int, int]] = set()
    for query in range(len(queries)):
        owner = 0
        if dataset.schema.context_id:
            column = dataset.schema.column(dataset.schema.context_id)
            owner = int(queries.context.categorical[query, column])
            if not owner:
                continue  # an unknown user trained on nothing
        rows = queries.item_rows(query, queries.relevance.row(query))
        pairs |= {(owner, int(row)) for row in rows}
    return pairs
