"""Does a representation of ids rank better than a table, and better than its control?

    python benchmarks/representations_quality.py WORLD [--data FOLDER] [--seeds 3] [--quick]

WORLD is `ml-1m` (needs --data), `generated` (Criteo's shape, values that share nothing) or `shared`
(the same with values made of a quotient and a remainder). For each variant the learning rate is
chosen on validation by a seed of its own; then every variant is trained with each seed and judged
on the test split, which nothing was chosen on: NDCG@64 a query for ml-1m, log loss a row for the
generated logs, whose true probabilities are known. Differences are paired; intervals cover a new
seed and new queries. Results are kept in runs/representations (or --out), so that a killed run goes
on, and written to WORLD.json there.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from recfunnel.core.dataset import QuerySet
from recfunnel.core.model import ModelCost, ScoreTable
from recfunnel.core.pipeline import pipeline_of
from recfunnel.core.progress import Progress
from recfunnel.core.spec import Value
from recfunnel.core.storage import read_json, write_json
from recfunnel.data.synthetic_ctr import SyntheticCtr, planted_probabilities
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.probability import auc, is_right, log_losses
from recfunnel.quality.repeats import RepeatedComparison, compare_repeats
from recfunnel.quality.score import score_queries
from recfunnel.quality.tables import load_scores, save_scores
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.steps import Steps
from representations_worlds import WORLDS, World

K = 64
TUNING_SEED = 1000
REFERENCE = "table"


class VariantResult(Value, frozen=True):
    """What became of one variant.

    Args:
        name: of the variant.
        means: each metric's mean over seeds.
        cost: exact work and size.
        learning_rate: chosen on validation.
        against: comparison of the judged metric with the table, and with its control if it has one.
    """

    name: str
    means: dict[str, float]
    cost: ModelCost
    learning_rate: float
    against: dict[str, RepeatedComparison]


class WorldResult(Value, frozen=True):
    """All variants of a world.

    Args:
        world: its name.
        metric: that comparisons are of; higher is better.
        num_seeds: trained.
        num_rows: training interactions.
        reach: mean of each metric by the true probabilities; empty where nobody knows them.
        variants: in order.
    """

    world: str
    metric: str
    num_seeds: int
    num_rows: int
    reach: dict[str, float]
    variants: tuple[VariantResult, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Judged:
    """One variant of one seed: the judged metric a query (or row), and means of all metrics."""

    values: np.ndarray
    means: dict[str, float]


def main() -> None:
    options = _options()
    world = WORLDS[options.world](options.data, quick=options.quick)
    if options.only:
        world = world.of(tuple(options.only.split(",")))
    clicks = isinstance(world.dataset, SyntheticCtr)
    out = options.out / (options.world + ("-quick" if options.quick else ""))
    rates = {name: chosen_rate(world, name, out) for name in world.variants}
    judged: dict[str, list[Judged]] = {name: [] for name in world.variants}
    reach: list[dict[str, float]] = []
    costs: dict[str, ModelCost] = {}
    for seed in range(options.seeds):
        with RunFolder(out / f"seed-{seed}") as folder:
            entries = {name: world.entry(name, rates[name]) for name in world.variants}
            steps = Steps(world.study(seed, entries), folder, _Log())
            for name in world.variants:
                steps.train((name,))
                judged[name].append(judged_variant(steps, name, clicks=clicks))
                costs[name] = steps.study.models[name].model.cost(steps.data().schema)
            if isinstance(world.dataset, SyntheticCtr):
                reach.append(best_possible(world.dataset, steps))
            num_rows = len(steps.data().train)
    result = WorldResult(
        world=options.world,
        metric="minus log loss" if clicks else "NDCG@64",
        num_seeds=options.seeds,
        num_rows=num_rows,
        reach={name: float(np.mean([r[name] for r in reach])) for name in (reach or [{}])[0]},
        variants=tuple(
            VariantResult(
                name=name,
                means=_mean([one.means for one in judged[name]]),
                cost=costs[name],
                learning_rate=rates[name],
                against=comparisons(world, name, judged),
            )
            for name in world.variants
        ),
    )
    write_json(out / f"{options.world}.json", result)
    show(result)


def chosen_rate(world: World, name: str, out: Path) -> float:
    """The learning rate of the best validation value, each tried with a seed of its own."""
    found: dict[float, float] = {}
    for rate in world.rates:
        with RunFolder(out / "tuning") as folder:
            trial = f"{name} {rate:g}"
            study = world.study(TUNING_SEED, {trial: world.entry(name, rate)})
            steps = Steps(study, folder, _Log())
            steps.train()
            manifest = read_json(steps.models_folder / trial / "manifest.json", dict)
            found[rate] = max(manifest["report"]["history"])
    best = max(found, key=lambda rate: found[rate])
    tried = ", ".join(f"{rate:g}: {value:.4f}" for rate, value in found.items())
    print(f"{name:24s} learning rate {best:g} ({tried})", file=sys.stderr, flush=True)
    return best


def judged_variant(steps: Steps, name: str, *, clicks: bool) -> Judged:
    """Score the test split with one fitted model, or read the scores that are kept."""
    key, place = steps.model_key(name), steps.path / "scores" / name
    queries = only_ranked_items(steps.queries("test"))
    if not steps.folder.is_done(f"test.{name}", key):
        with steps.folder.doing(f"test.{name}", key):
            threads = torch.get_num_threads()  # loading sets them for training, too
            folder = steps.models_folder / name
            model = TorchEager().load(folder, queries.items, num_threads=threads)
            save_scores(place, score_queries(model, queries, []))
    return judge(queries, load_scores(place).scores, clicks=clicks)


def only_ranked_items(queries: QuerySet) -> QuerySet:
    """The same queries over the items that some query ranks; a click log has a row an item."""
    if queries.candidates is None:
        return queries
    rows, places = np.unique(queries.candidates, return_inverse=True)
    candidates = places.reshape(queries.candidates.shape).astype(np.int64)
    return replace(queries, items=queries.items.take(rows), candidates=candidates)


def judge(queries: QuerySet, scores: np.ndarray, *, clicks: bool) -> Judged:
    """The judged metric of each query, or of each row of a click log, and all metrics' means."""
    alone = pipeline_of(("scores",), (queries.num_columns, min(K, queries.num_columns)))
    book = ScoreBook(queries, [ScoreTable("scores", scores)], k=alone.num_out)
    ndcg = book.ndcg(alone)
    if not clicks:
        return Judged(ndcg, {"NDCG@64": float(ndcg.mean())})
    labels = np.zeros(scores.shape, np.bool_)
    labels[queries.relevance.row_ids(), queries.relevance.values] = True
    logits, clicked = np.asarray(scores, np.float64).ravel(), labels.ravel()
    losses = log_losses(logits, clicked)
    means = {
        "log loss": float(losses.mean()),
        "AUC": auc(logits, clicked),
        "accuracy": float(is_right(logits, clicked).mean()),
        "NDCG@64": float(ndcg.mean()),
    }
    return Judged(-losses, means)


def best_possible(spec: SyntheticCtr, steps: Steps) -> dict[str, float]:
    """The same metrics by the probabilities the log was drawn with."""
    queries = steps.queries("test")
    assert queries.candidates is not None, "a click log's queries name their rows"
    probability = planted_probabilities(spec, steps.study.seed)[queries.candidates]
    logits = np.log(probability / (1 - probability)).astype(np.float32)
    return judge(only_ranked_items(queries), logits, clicks=True).means


def comparisons(
    world: World, name: str, judged: dict[str, list[Judged]]
) -> dict[str, RepeatedComparison]:
    """A variant against the table, and against its controls."""
    against = dict.fromkeys((REFERENCE, *world.controls.get(name, ())))
    values = {
        other: same_length([one.values for one in judged[other]]) for other in (name, *against)
    }
    return {
        other: compare_repeats(values[other], values[name]) for other in against if other != name
    }


def same_length(of_seeds: list[np.ndarray]) -> np.ndarray:
    """(S, J) of each seed's queries: a few users have nothing to rank for in one split or another.

    Seeds have queries of their own, so which few are left out does not matter.
    """
    num_queries = min(values.size for values in of_seeds)
    return np.stack([values[:num_queries] for values in of_seeds])


def show(result: WorldResult) -> None:
    """Print a line a variant, then what it was held against."""
    metrics = list(result.variants[0].means)
    print(
        f"\n{result.world}: {result.num_rows:,} training rows, {result.num_seeds} seeds; "
        f"differences of {result.metric}, 95 % intervals"
    )
    head = "".join(f"{metric:>10s}" for metric in metrics)
    print(f"{'':22s}{'rate':>8s}{head}{'MB':>9s}{'kFLOP/item':>12s}{'bytes/item':>12s}")
    if result.reach:
        best = "".join(f"{result.reach[metric]:10.4f}" for metric in metrics)
        print(f"{'true probabilities':30s}{best}")
    for one in result.variants:
        means = "".join(f"{one.means[metric]:10.4f}" for metric in metrics)
        cost = one.cost
        print(
            f"{one.name:22s}{one.learning_rate:8g}{means}{cost.parameter_bytes / 1e6:9.2f}"
            f"{cost.flops_per_item / 1e3:12.1f}{cost.read_bytes_per_item:12.0f}"
        )
    for one in result.variants:
        for other, found in one.against.items():
            low, high = found.interval
            word = ("better" if low > 0 else "worse") if found.decided else "undecided"
            print(
                f"{one.name:22s} - {other:22s}{found.difference:+.5f}"
                f"  [{low:+.5f}, {high:+.5f}]  {word}"
            )


def _mean(each: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


class _Log(Progress):
    """Says what is trained; the epochs' own lines would drown it."""

    def log(self, line: str) -> None:
        print(f"  {line}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", choices=WORLDS)
    parser.add_argument("--data", type=Path, help="folder of ML-1M's raw files")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    parser.add_argument("--only", default="", help="variants, comma separated; all when left out")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, for a look")
    parser.add_argument("--out", type=Path, default=Path("runs/representations"))
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("intervals need at least 2 seeds")
    return options


if __name__ == "__main__":
    main()
