"""A tiny world to serve: a stored data set and models whose work is a known matrix product."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.dataset import Dataset, Interactions, Provenance, QuerySet, save_dataset
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.core.spec import Spec, Value
from recfunnel.core.storage import read_json, write_json
from recfunnel.runtime.base import LoadedModel, RuntimeSpec
from recfunnel.runtime.messages import ServingSetup

SCHEMA = FeatureSchema(
    features=(
        Feature(name="user", side="context", kind="categorical", cardinality=1000),
        Feature(name="seen", side="context", kind="multi_valued", cardinality=5000),
        Feature(name="item", side="candidate", kind="categorical", cardinality=5000),
    )
)


class Recipe(Value, frozen=True):
    """How a test model behaves.

    `coarse` rounds scores so that ties are common; `width` sets the work of a candidate; `sleep_s`
    and `spin_s` set a service time that does not depend on the processor. It fails from the moment
    the file `fails_if_there` exists.
    """

    name: str
    seed: int = 0
    score_inputs: tuple[str, ...] = ()
    coarse: bool = False
    width: int = 0
    history_work: bool = False
    spin_s: float = 0.0
    sleep_s: float = 0.0
    fails_if_there: str = ""


@dataclass(frozen=True, eq=False)
class HashedModel:
    """Scores that depend on the user, the item row and the given scores alone."""

    recipe: Recipe
    num_items: int
    item_states: FloatArray
    weights: FloatArray

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def score_inputs(self) -> tuple[str, ...]:
        return self.recipe.score_inputs

    def score(
        self, context: Features, candidates: IntArray | None, given: FloatArray | None = None
    ) -> FloatArray:
        rows = np.arange(self.num_items)[np.newaxis] if candidates is None else candidates
        users = context.categorical[:, :1]
        if self.recipe.fails_if_there and Path(self.recipe.fails_if_there).exists():
            raise RuntimeError("no score today")
        self._work(context, rows)
        scores = np.sin(1.0 + users * 12.9898 + rows * 78.233 + self.recipe.seed * 37.719)
        if given is not None:
            scores = scores + 0.3 * given.sum(axis=-1)
        if self.recipe.coarse:
            scores = np.round(scores * 3)
        return scores.astype(np.float32)

    def _work(self, context: Features, rows: IntArray) -> None:
        began = time.perf_counter()
        if self.recipe.width:
            states = self.item_states[rows[0]]
            repeats = 1 + (context.multi_valued[0].values.size if self.recipe.history_work else 0)
            for _ in range(repeats):
                np.maximum(states @ self.weights, 0.0) @ self.weights.T
        if self.recipe.sleep_s:
            time.sleep(self.recipe.sleep_s)
        while time.perf_counter() - began < self.recipe.spin_s:
            pass


class TestRuntime(Spec, RuntimeSpec, frozen=True, tag="test"):
    """Reads a recipe from a model's folder."""

    __test__ = False

    def load(self, folder: Path, items: Features, *, num_threads: int = 1) -> LoadedModel:
        del num_threads
        return load_recipe(read_json(folder / "recipe.json", Recipe), len(items))


def load_recipe(recipe: Recipe, num_items: int) -> HashedModel:
    rng = np.random.default_rng(recipe.seed)
    states = rng.normal(size=(num_items, 64)).astype(np.float32)
    weights = rng.normal(size=(64, max(1, recipe.width))).astype(np.float32)
    return HashedModel(recipe, num_items, states, weights)


def query_set(num_queries: int, num_items: int, *, longest_history: int = 5) -> QuerySet:
    rng = np.random.default_rng(7)
    lengths = rng.integers(0, longest_history + 1, num_queries)
    seen = [rng.choice(num_items, min(n, num_items), replace=False).tolist() for n in lengths]
    context = Features(
        np.arange(num_queries, dtype=np.int64)[:, np.newaxis],
        np.zeros((num_queries, 0), np.float32),
        (Ragged.from_rows(seen),),
    )
    items = Features(
        np.arange(num_items, dtype=np.int64)[:, np.newaxis], np.zeros((num_items, 0), np.float32)
    )
    relevant = Ragged.from_rows([[int(q) % num_items] for q in range(num_queries)])
    return QuerySet(SCHEMA, context, items, None, Ragged.from_rows(seen), relevant)


def make_world(
    folder: Path,
    recipes: list[Recipe],
    *,
    num_queries: int = 50,
    num_items: int = 200,
    longest_history: int = 5,
) -> ServingSetup:
    """Store data and models; what an engine needs to serve them."""
    queries = query_set(num_queries, num_items, longest_history=longest_history)
    rows = np.zeros(1, np.int64)
    ones = np.ones(1, np.float32)
    dataset = Dataset(
        "tiny",
        "implicit",
        SCHEMA,
        queries.context,
        queries.items,
        Interactions(rows, rows, ones, ones),
        queries,
        queries,
        Provenance(source="made up", licence="none", split="all"),
    )
    save_dataset(folder / "data", dataset)
    for recipe in recipes:
        (folder / "models" / recipe.name).mkdir(parents=True)
        write_json(folder / "models" / recipe.name / "recipe.json", recipe)
    inputs = {recipe.name: recipe.score_inputs for recipe in recipes}
    return ServingSetup({"test": TestRuntime()}, folder / "models", folder / "data", inputs)
