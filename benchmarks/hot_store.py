"""How much of a computed table's work a hot store saves, on real and generated traces.

    python benchmarks/hot_store.py [--data FOLDER] [--json] [--no-times] [--out runs/hot-store]

Traces: the movies and the users of MovieLens-1M's ratings in the order they were given (with
--data), and ids by Zipf's law (exponent 1.05, a million ids), unchanging and with 5 % of the ids
exchanging their popularity every 100,000 lookups. The first half of a trace is the profile window,
hits are counted in the second. `static` keeps the ids most frequent in the window; `lru`, `lfu`,
`s3fifo` and `fifo` start with what the window leaves in them and change; `belady` knows the future
and is a bound. The engine's hot store is static.

The table is a deep hash embedding of 1,024 codes and layers 512-256-16, 1.3 MFLOP a row. Speed-up
is that of arithmetic, 1 / (1 - hit rate), and, for the static store, as measured: queries of 256
lookups of the second half, in trace order, on one core, a query's different ids made once with a
store or without. Hit rates and times are kept in --out; a picture is drawn beside them.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from recfunnel.bench.interleave import Call, interleave
from recfunnel.compile.hot_curve import hot_curve
from recfunnel.compile.id_counts import INDEX_BYTES
from recfunnel.compile.load import StoredGraph
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.codes import MultiplyShift
from recfunnel.core.computed import Decoded, DecoderLayer
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.core.graph import Linear, Lookup, RankingGraph
from recfunnel.core.spec import Value
from recfunnel.core.storage import read_json, write_json
from recfunnel.data.movielens_files import read_movielens
from recfunnel.hardware.caches.base import cache_policies
from recfunnel.report.figure import BASELINES, CHOSEN, INK, Figure, house_style, new_axes, settle
from recfunnel.runtime.native import Native
from recfunnel.workload.lookups import ZipfLookups

POLICIES = ("static", "lru", "lfu", "s3fifo", "fifo", "belady")
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
TIMED_SHARES = (0.01, 0.05, 0.2, 0.5)
WIDTHS = (1024, 512, 256, 16)
LOOKUPS_A_QUERY = 256
NUM_IDS, NUM_LOOKUPS = 1_000_000, 2_000_000


class Curve(Value, frozen=True):
    """Hit rates of one trace.

    Args:
        trace: in words.
        num_ids: rows of the table.
        num_lookups: counted.
        num_rows: kept, of each size.
        size_bytes: of each size, index included.
        hit_rates: of each policy, a number a size.
        measured_speed_up: of the static store, by the number of rows; empty where not timed.
    """

    trace: str
    num_ids: int
    num_lookups: int
    num_rows: tuple[int, ...]
    size_bytes: tuple[int, ...]
    hit_rates: dict[str, tuple[float, ...]]
    measured_speed_up: dict[int, float] = {}  # noqa: RUF012 - msgspec copies the default


def main() -> None:
    options = _options()
    curves = []
    for name, num_ids, lookups in traces(options.data):
        place = options.out / f"{name.replace(' ', '-')}.json"
        if place.exists():
            curve = read_json(place, Curve)
        else:
            curve = counted(name, num_ids, lookups)
            write_json(place, curve)
        if not options.no_times and not curve.measured_speed_up:
            curve = msgspec.structs.replace(curve, measured_speed_up=measured(curve, lookups))
            write_json(place, curve)
        print(f"  {name}", file=sys.stderr, flush=True)
        curves.append(curve)
    draw(curves).save_png(options.out / "hot_store.png", dots_per_inch=110)
    if options.json:
        write_json(options.out / "hot_store.json", curves)
        sys.stdout.write((options.out / "hot_store.json").read_text())
    else:
        show(curves)


def traces(data: Path | None) -> Iterator[tuple[str, int, IntArray]]:
    """Name, number of ids, and ids in the order of lookups."""
    if data is not None:
        ratings = read_movielens(data).ratings.sort("time_s", maintain_order=True)
        for column, name in (("item", "movies"), ("user", "users")):
            _, ids = np.unique(ratings[column].to_numpy(), return_inverse=True)
            yield f"ml-1m {name}", int(ids.max()) + 1, ids.astype(np.int64)
    scattered = np.random.default_rng(0).permutation(NUM_IDS)
    for name, churn in (("zipf", 0.0), ("zipf with churn", 0.05)):
        law = ZipfLookups(num_rows=NUM_IDS, exponent=1.05, churn=churn, period=100_000)
        yield name, NUM_IDS, scattered[law.ids(NUM_LOOKUPS, np.random.default_rng(1))]


def counted(name: str, num_ids: int, lookups: IntArray) -> Curve:
    """Hit rates of every policy."""
    table, parameters = decoder(num_ids)
    middle = len(lookups) // 2
    sizes = np.array([max(1, round(share * num_ids)) for share in SHARES])
    found = {
        policy: hot_curve(
            table,
            parameters,
            lookups[:middle],
            lookups[middle:],
            sizes,
            cache_policies.parse({"kind": policy}),
        )
        for policy in POLICIES
    }
    one = found[POLICIES[0]]
    return Curve(
        trace=name,
        num_ids=num_ids,
        num_lookups=len(lookups) - middle,
        num_rows=tuple(int(n) for n in one.num_rows),
        size_bytes=tuple(round(float(b)) for b in one.size_bytes),
        hit_rates={p: tuple(float(r) for r in curve.hit_rates) for p, curve in found.items()},
    )


def decoder(num_ids: int) -> tuple[Decoded, dict[str, FloatArray]]:
    """A deep hash embedding with random weights; times do not depend on them."""
    rng, parameters, layers = np.random.default_rng(0), {}, []
    for number, (inputs, outputs) in enumerate(pairwise(WIDTHS)):
        weight = rng.standard_normal((outputs, inputs), np.float32) * (2 / inputs) ** 0.5
        parameters[f"w{number}"] = weight.astype(np.float32)
        parameters[f"b{number}"] = np.zeros(outputs, np.float32)
        last = number == len(WIDTHS) - 2
        activation = "none" if last else "relu"
        layers.append(DecoderLayer(weight=f"w{number}", bias=f"b{number}", activation=activation))
    codes = MultiplyShift(num_codes=WIDTHS[0])
    table = Decoded(name="made", num_ids=num_ids, dim=WIDTHS[-1], codes=codes, layers=tuple(layers))
    return table, parameters


def measured(curve: Curve, lookups: IntArray) -> dict[int, float]:
    """How many times faster the engine answers with a static store of some sizes."""
    table, parameters = decoder(curve.num_ids)
    graph = RankingGraph(
        nodes=(Lookup(side="candidate", column=0, table="made"), Linear(x_of=0, weight="head")),
        score_of=1,
        computed=(table,),
    )
    feature = Feature(name="id", side="candidate", kind="categorical", cardinality=curve.num_ids)
    middle = len(lookups) // 2
    counts = {"made": np.unique(lookups[:middle], return_counts=True)}
    head = {"head": np.ones((1, WIDTHS[-1]), np.float32)}
    stored = StoredGraph(
        "made", graph, parameters | head, FeatureSchema(features=(feature,)), (), counts
    )
    items = Features(np.arange(curve.num_ids)[:, None], np.zeros((curve.num_ids, 0), np.float32))
    num_queries = (len(lookups) - middle) // LOOKUPS_A_QUERY
    queries = lookups[middle:][: num_queries * LOOKUPS_A_QUERY].reshape(num_queries, 1, -1)
    queries = queries[np.random.default_rng(0).permutation(num_queries)]
    sizes = [max(1, round(share * curve.num_ids)) for share in TIMED_SHARES]
    calls = {size: _call(stored, items, queries, size) for size in (0, *sizes)}
    names = {str(size): call for size, call in calls.items()}
    found = interleave(names, num_rounds=3, round_s=0.25, seed=0).timings
    return {size: found["0"].median_s / found[str(size)].median_s for size in sizes}


def _call(stored: StoredGraph, items: Features, queries: IntArray, num_rows: int) -> Call:
    size = int(np.ceil(num_rows * (4 * WIDTHS[-1] + INDEX_BYTES) + 2 * INDEX_BYTES))
    runtime = Native(
        catalogue="hoisted", largest_computed_bytes=0, hot_store_bytes=size if num_rows else 0
    )
    model = runtime.load_graph(stored, items)
    nobody = Features.empty(1)
    return lambda number: model.score(nobody, queries[number % len(queries)])


def show(curves: list[Curve]) -> None:
    """Print a line a size."""
    for curve in curves:
        print(f"\n{curve.trace}: {curve.num_ids:,} ids, {curve.num_lookups:,} counted lookups")
        head = "".join(f"{policy:>9s}" for policy in curve.hit_rates)
        print(f"{'rows':>9s}{'MB':>9s}{head}{'arithmetic':>12s}{'measured':>10s}")
        for number, rows in enumerate(curve.num_rows):
            rates = [rates[number] for rates in curve.hit_rates.values()]
            static = curve.hit_rates["static"][number]
            fewer = f"{1 / (1 - static):.2f}x" if static < 1 else "all"
            speed_up = curve.measured_speed_up.get(rows)
            print(
                f"{rows:9,d}{curve.size_bytes[number] / 1e6:9.3f}"
                + "".join(f"{rate:9.3f}" for rate in rates)
                + f"{fewer:>12s}{'' if speed_up is None else f'{speed_up:.2f}x':>10s}"
            )


def draw(curves: list[Curve]) -> Figure:
    """Hit rate against the share of rows that is kept: a panel a trace."""
    canvas, first = new_axes(3.1 * len(curves), 3.4)
    canvas.delaxes(first)
    colours = dict(zip(POLICIES, (CHOSEN, *BASELINES), strict=False))
    with house_style():
        panels = canvas.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for axes, curve in zip(panels, curves, strict=True):
            shares = [100 * rows / curve.num_ids for rows in curve.num_rows]
            for policy, rates in curve.hit_rates.items():
                style = "--" if policy == "belady" else "-"
                colour = INK if policy == "belady" else colours[policy]
                axes.plot(
                    shares, rates, style, color=colour, label=policy, marker="o", markersize=3
                )
            axes.set_xscale("log")
            axes.set_xticks([1, 10, 50], ["1", "10", "50"])
            axes.minorticks_off()
            axes.set_title(curve.trace, fontsize=10)
            axes.set_xlabel("rows kept, % of ids")
            axes.set_ylim(0, 1.02)
            axes.grid(visible=True, alpha=0.3)
        panels[0].set_ylabel("hit rate")
        panels[-1].legend(fontsize=8, loc="lower right", ncols=2)
    settle(canvas)
    return Figure(
        name="hot-store",
        title="Hit rate of a hot store against its size",
        description="Static stores serve movies and unchanging ids, not users, who come and go.",
        canvas=canvas,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of ML-1M's raw files")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--no-times", action="store_true", help="count hits alone")
    parser.add_argument("--out", type=Path, default=Path("runs/hot-store"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
