"""What do cheaper forms of trained computed tables cost in ranking, and what do they save?

    python benchmarks/representations_served.py WORLD [--data FOLDER] [--seeds 3] [--json]

WORLD is one of `representations_quality.py`, which trains the models; where its run folder (--out)
holds them they are used as they are. Each form of the computed tables (decoders in fewer bits, rows
of all ids in fewer bits, MP-Cache's centroids of codes, with and without exact rows of the most
frequent ids) is judged on test queries against the exact form of the same trained model. All but
the tables stays float32. Centroids and frequent ids are chosen by the training rows.

Beside it: bytes of what stands for the tables, and two times, on one core: of a row that is made,
and of a query of 256 candidates in the engine, which then runs its layers in the decoders'
precision as well. The engine has neither int4 rows nor centroids; for these the time of a row is
that of the dot products alone. Judged forms are kept in the run folder, times in WORLD-times.json:
a killed run goes on.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recfunnel.bench.interleave import Call, interleave
from recfunnel.compile.load import StoredGraph, load_graph
from recfunnel.core.arrays import DoubleArray
from recfunnel.core.computed import Decoded
from recfunnel.core.dataset import QuerySet
from recfunnel.core.spec import Value
from recfunnel.core.storage import content_hash, read_json, write_json
from recfunnel.data.synthetic_ctr import SyntheticCtr
from recfunnel.quality.repeats import RepeatedComparison, compare_repeats
from recfunnel.quality.score import score_queries
from recfunnel.runtime.native import Native
from recfunnel.runtime.native_tables import NativeRows
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.steps import Steps
from representations_forms import Form, dots_alone, forms
from representations_quality import (
    _Log,
    chosen_rate,
    judge,
    only_ranked_items,
    same_length,
)
from representations_worlds import WORLDS

MODELS = ("dhe", "hybrid")
NUM_CENTROIDS = (64, 256, 1024)
NUM_CANDIDATES = 256
ROWS_AT_ONCE = 1536


class FormResult(Value, frozen=True):
    """One form of one model.

    Args:
        model: variant of the world.
        form: name.
        against_exact: paired over seeds and queries; None for the exact form itself.
        mean: of the judged metric.
        size_bytes: of what stands for the computed tables.
        row_s: to make a row of the largest table; None where rows are only read.
        query_s: of a query in the engine; None where it has no such form.
    """

    model: str
    form: str
    against_exact: RepeatedComparison | None
    mean: float
    size_bytes: int
    row_s: float | None
    query_s: float | None


class ServedResult(Value, frozen=True):
    """All forms of all models.

    Args:
        world: its name.
        metric: that is compared; higher is better.
        num_seeds: trained.
        num_queries: judged, or rows.
        forms: in order.
    """

    world: str
    metric: str
    num_seeds: int
    num_queries: int
    forms: tuple[FormResult, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Judged:
    """A form of one seed: the metric of each query, and the form's bytes."""

    values: DoubleArray
    size_bytes: int


def main() -> None:
    options = _options()
    result = judged_forms(options)
    place = options.out / f"{options.world}-served.json"
    write_json(place, result)
    if options.json:
        sys.stdout.write(place.read_text())
    else:
        show(result)


def judged_forms(options: argparse.Namespace) -> ServedResult:
    """Train, judge and time everything that is not kept yet."""
    world = WORLDS[options.world](options.data, quick=options.quick).of(MODELS)
    clicks = isinstance(world.dataset, SyntheticCtr)
    out = options.out / (options.world + ("-quick" if options.quick else ""))
    chosen = forms(NUM_CENTROIDS)
    judged: dict[tuple[str, str], list[Judged]] = {}
    times: dict[str, dict[str, float]] = {}
    rates = {m: options.rate or chosen_rate(world, m, out) for m in MODELS}
    for seed in range(options.seeds):
        with RunFolder(out / f"seed-{seed}") as folder:
            entries = {name: world.entry(name, rates[name]) for name in MODELS}
            steps = Steps(world.study(seed, entries), folder, _Log())
            steps.train(MODELS)
            for model in MODELS:
                for form in chosen.values():
                    found = judged_form(steps, model, form, options.queries, clicks=clicks)
                    judged.setdefault((model, form.name), []).append(found)
                if seed == 0:
                    times[model] = timed(steps, model, chosen, out)
    exact = next(iter(chosen))
    results = []
    for (model, name), found in judged.items():
        values, reference = (
            same_length([j.values for j in judged[model, n]]) for n in (name, exact)
        )
        results.append(
            FormResult(
                model=model,
                form=name,
                against_exact=None if name == exact else compare_repeats(reference, values),
                mean=float(values.mean()),
                size_bytes=found[0].size_bytes,
                row_s=times[model].get(f"row {name}"),
                query_s=times[model].get(f"query {name}"),
            )
        )
    return ServedResult(
        world=options.world,
        metric="minus log loss" if clicks else "NDCG@64",
        num_seeds=options.seeds,
        num_queries=values.shape[1],
        forms=tuple(results),
    )


def some(queries: QuerySet, count: int) -> QuerySet:
    """So many queries, evenly spaced; all where there are no more."""
    if len(queries) <= count:
        return queries
    return queries.take(np.arange(count) * len(queries) // count)


def judged_form(steps: Steps, model: str, form: Form, num_queries: int, *, clicks: bool) -> Judged:
    """Score the test split with one form of one model, or read what is kept of it."""
    place = steps.path / "served" / model / f"{form.name}.npz"
    key = content_hash([steps.model_key(model), form.name, "test", num_queries])
    step = f"served.{model}.{form.name}"
    if not steps.folder.is_done(step, key):
        with steps.folder.doing(step, key):
            queries = only_ranked_items(some(steps.queries("test"), num_queries))
            stored = load_graph(steps.models_folder / model)
            assert stored.id_counts is not None, "training counts the ids of computed tables"
            as_rows, size = form.stored(stored, stored.id_counts)
            scores = score_queries(Native().load_graph(as_rows, queries.items), queries).scores
            found = judge(queries, scores, clicks=clicks).values
            place.parent.mkdir(parents=True, exist_ok=True)
            np.savez(place, values=found, size_bytes=size)
        print(f"  {steps.path.name} {model} {form.name}: {found.mean():.5f}", file=sys.stderr)
    with np.load(place) as kept:
        return Judged(kept["values"], int(kept["size_bytes"]))


def timed(steps: Steps, model: str, chosen: dict[str, Form], out: Path) -> dict[str, float]:
    """Seconds of a row and of a query in each form, by `row FORM` and `query FORM`."""
    place = out / f"times-{model}.json"
    if place.exists():
        return read_json(place, dict[str, float])
    stored = load_graph(steps.models_folder / model)
    queries = only_ranked_items(steps.queries("test"))
    calls = {f"query {n}": _query(stored, f, queries) for n, f in chosen.items() if f.served}
    rows = _row_calls(stored)
    found = interleave({**calls, **rows}, num_rounds=5, round_s=0.2, seed=0).timings
    seconds = {
        name: timing.median_s / (ROWS_AT_ONCE if name in rows else 1)
        for name, timing in found.items()
    }
    for count in NUM_CENTROIDS:  # a hot id costs a look into its store instead
        for name in chosen:
            if name.startswith(f"centroids {count}"):
                seconds[f"row {name}"] = seconds[f"row centroids {count}"]
    write_json(place, seconds)
    return seconds


def _query(stored: StoredGraph, form: Form, queries: QuerySet) -> Call:
    """Scores 256 candidates drawn at random."""
    assert form.served is not None
    model = form.served.load_graph(stored, queries.items)
    rng, num_items = np.random.default_rng(0), len(queries.items)
    count = min(NUM_CANDIDATES, num_items)
    drawn = np.stack([rng.choice(num_items, count, replace=False) for _ in range(200)])

    def call(number: int) -> object:
        row = number % len(drawn)
        return model.score(queries.context.row(row % len(queries)), drawn[row][None])

    return call


def _row_calls(stored: StoredGraph) -> dict[str, Call]:
    """Make rows of the largest computed table."""
    table = max(stored.graph.computed, key=lambda t: t.num_ids)
    assert isinstance(table, Decoded)
    ids = np.random.default_rng(0).integers(0, table.num_ids, ROWS_AT_ONCE)
    calls: dict[str, Call] = {}

    def add(name: str, rows: NativeRows, of: Decoded, parameters: Any) -> None:
        calls[f"row {name}"] = lambda _number: rows(of, parameters, ids)

    for precision in ("float32", "bfloat16", "int8"):
        add(f"decoder {precision}", NativeRows(precision), table, stored.parameters)  # type: ignore[arg-type]
    for count in NUM_CENTROIDS:
        dots = dots_alone(table, stored.parameters, count)
        add(f"centroids {count}", NativeRows("float32"), *dots)
    return calls


def show(result: ServedResult) -> None:
    """Print a line a form."""
    print(
        f"{result.world}: {result.metric}, {result.num_seeds} seeds, {result.num_queries:,} "
        "judged; differences from the exact form of the same model, 95 % intervals"
    )
    print(
        f"{'':8s}{'':24s}{'mean':>9s}{'difference':>12s}{'interval':>24s}"
        f"{'MB':>9s}{'us/row':>9s}{'us/query':>10s}"
    )
    for one in result.forms:
        against = one.against_exact
        told = (
            f"{'exact':>12s}{'':24s}"
            if against is None
            else f"{against.difference:+12.5f}"
            f"{f'[{against.interval[0]:+.5f}, {against.interval[1]:+.5f}]':>24s}"
        )
        print(
            f"{one.model:8s}{one.form:24s}{one.mean:9.5f}{told}{one.size_bytes / 1e6:9.3f}"
            f"{_micro(one.row_s):>9s}{_micro(one.query_s):>10s}"
        )


def _micro(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e6 * seconds:.2f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", choices=WORLDS)
    parser.add_argument("--data", type=Path, help="folder of ML-1M's raw files")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    parser.add_argument(
        "--rate", type=float, help="learning rate; chosen on validation when left out"
    )
    parser.add_argument("--queries", type=int, default=2000, help="judged, of the test split")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, for a look")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, default=Path("runs/representations"))
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("intervals need at least 2 seeds")
    return options


if __name__ == "__main__":
    main()
