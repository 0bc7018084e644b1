"""`recfunnel accel topk`: what a streaming top-k filter passes on of given scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter

from recfunnel.cli.printing import emit_csv, emit_json, print_table, say
from recfunnel.core.errors import DataError, StudyError

if TYPE_CHECKING:
    from recfunnel.hardware.topk.filter import TopKFilter
    from recfunnel.hardware.topk.run import FilterRun

Flag = Parameter(negative="")
Edges = Literal["linear", "tail"]
Scores = np.ndarray[Any, Any]


def topk(
    scores: Path,
    /,
    *,
    k: int,
    bins: int = 16,
    edges: Edges = "linear",
    low: float | None = None,
    high: float | None = None,
    sample: Path | None = None,
    spread: float = 3.0,
    score_bits: int = 16,
    lanes: int = 1,
    min_score: float | None = None,
    buffer: int | None = None,
    overflow: Literal["spill", "raise", "drop"] = "spill",
    truncate: Literal["none", "arrival", "bins", "exact"] = "none",
    sub_batches: int = 1,
    policy: Literal["global", "quota", "running"] = "global",
    margin: float = 1.0,
    drain: Literal["scan", "linked"] = "scan",
    json: Annotated[bool, Flag] = False,
    csv: Annotated[bool, Flag] = False,
) -> int:
    """Tell what a streaming top-k filter passes on, its recall and its cycles (simulated).

    The filter counts scores in bins, walks the bins from the top until k are reached, and passes on
    every score of the bins it walked.

    Args:
        scores: .npy, (queries, candidates) or (candidates,), in the order they arrive.
        k: how many are wanted of each query.
        bins: bins the filter counts in.
        edges: linear (bins of one width) or tail (fine where the threshold falls, from a sample).
        low: where bins begin; 0 for linear edges, the sample's least score for tail edges.
        high: where they end; 1 for linear edges, the sample's greatest score for tail edges.
        sample: .npy of scores seen before, for tail edges; the scores themselves without it.
        spread: of tail edges: tells apart from k / spread to k spread.
        score_bits: of a score in the filter.
        lanes: scores taken, and entries read, each cycle.
        min_score: scores not above it are not buffered.
        buffer: entries of the buffer; as many as candidates when not given.
        overflow: of a full buffer: spill to DRAM, raise the threshold, or drop what comes.
        truncate: none, or cut to k: by arrival, by bins, or exact.
        sub_batches: runs of equal length that arrive one after another.
        policy: global (wait for the last run), quota (each passes k / runs), running (each passes
            what is above the threshold so far).
        margin: of a running threshold: walk to so many times the share of k seen so far.
        drain: read the buffer by scan (every entry) or linked (a list a bin).
        json: print JSON.
        csv: print CSV, one row a query.
    """
    from recfunnel.hardware.topk.filter import TopKFilter
    from recfunnel.hardware.topk.run import check_k, filter_scores, recall

    if json and csv:
        raise StudyError("--json and --csv are both given; choose one")
    table = read_scores(scores)
    check_k(k, table.shape[1])
    known = table if sample is None else read_scores(sample)
    low, high = _range(edges, known, low, high)
    made = TopKFilter(
        edges=_edges(edges, bins, (low, high), known, k / table.shape[1], spread),
        low=low,
        high=high,
        score_bits=score_bits,
        lanes=lanes,
        min_score=min_score,
        buffer_entries=buffer,
        overflow=overflow,
        truncate=truncate,
        sub_batches=sub_batches,
        policy=policy,
        margin=margin,
        drain=drain,
    )
    run = filter_scores(made, table, k)
    columns = _columns(run, recall(run.passed, table, k), k)
    if csv:
        emit_csv([{**row, "simulated": "true"} for row in _rows(columns)])
    elif json:
        emit_json(_as_json(made, k, columns))
    else:
        print_table(_summary(columns))
        _say_more(made, run, table, k, from_itself=edges == "tail" and sample is None)
    return 0


def read_scores(path: Path) -> Scores:
    """Scores of a file, (Q, n).

    Raises:
        DataError: no .npy file, or not numbers of one or two dimensions.
    """
    from recfunnel.hardware.topk.run import check_scores

    try:
        scores = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is no .npy file of scores: {error}") from error
    if not isinstance(scores, np.ndarray):
        raise DataError(f"{path} holds several arrays; give a .npy file of one")
    table = scores[np.newaxis] if scores.ndim == 1 else scores
    check_scores(table)
    return table


def _range(
    edges: Edges, sample: Scores, low: float | None, high: float | None
) -> tuple[float, float]:
    if edges == "linear":
        least, most = 0.0, 1.0
    else:  # the greatest score is still told apart from those beyond the range
        least, most = float(sample.min()), float(np.nextafter(sample.max(), np.inf))
    return (least if low is None else low), (most if high is None else high)


def _edges(
    edges: Edges,
    bins: int,
    between: tuple[float, float],
    sample: Scores,
    share: float,
    spread: float,
) -> tuple[float, ...]:
    from recfunnel.hardware.topk.bins import linear_edges, tail_edges

    if edges == "linear":
        return linear_edges(bins, *between)
    if share >= 1:
        raise StudyError("tail edges for all candidates say nothing; use linear ones or a lower k")
    return tuple(np.clip(tail_edges(sample, bins, share, spread), *between).tolist())


def _columns(run: "FilterRun", recalled: Scores, k: int) -> dict[str, Scores]:
    """What is told of each query."""
    return {
        "emitted": run.num_passed,
        "overshoot": run.num_passed / k,
        "recall": recalled,
        "cycles": run.cycles,
        "fill_cycles": run.fill_cycles,
        "walk_cycles": run.walk_cycles,
        "drain_cycles": run.drain_cycles,
        "sort_cycles": run.sort_cycles,
        "stall_cycles": run.stall_cycles,
        "high_water": run.high_water,
        "spilled": run.num_spilled,
        "lost": run.num_lost,
        "below_min_score": run.num_below,
        "outside_range": run.num_outside,
    }


def _rows(columns: dict[str, Scores]) -> list[dict[str, Any]]:
    values = [column.tolist() for column in columns.values()]
    return [
        {"query": query, **dict(zip(columns, row, strict=True))}
        for query, row in enumerate(zip(*values, strict=True))
    ]


def _summary(columns: dict[str, Scores]) -> list[dict[str, Any]]:
    return [
        {
            "of a query (simulated)": name,
            "mean": float(values.mean()),
            "least": float(values.min()),
            "p99": float(np.quantile(values, 0.99)),
            "most": float(values.max()),
        }
        for name, values in columns.items()
    ]


def _as_json(made: "TopKFilter", k: int, columns: dict[str, Scores]) -> dict[str, Any]:
    return {
        "simulated": True,
        "k": k,
        "filter": made,
        "mean": {name: float(values.mean()) for name, values in columns.items()},
        "queries": _rows(columns),
    }


def _say_more(
    made: "TopKFilter", run: "FilterRun", table: Scores, k: int, *, from_itself: bool
) -> None:
    num_queries, num = table.shape
    say(
        f"simulated; {num_queries} queries, the best {k} of {num} candidates; counters "
        f"{made.counter_bits(num):,} bits, buffer {made.buffer_bits(num):,} bits"
    )
    outside = run.num_outside.sum() / table.size
    if outside:
        say(
            f"{outside:.2%} of the scores lie outside {made.low:g} to {made.high:g} and are held "
            "at its ends; --low and --high set the range"
        )
    if from_itself:
        say("edges come from the same scores; --sample takes them from others")
