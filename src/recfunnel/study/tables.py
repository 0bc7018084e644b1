"""What the single verbs print: one row a model, plain numbers in SI units."""

from typing import Any

from recfunnel.core.results import Estimate
from recfunnel.core.storage import MANIFEST, read_json
from recfunnel.study.model_rows import model_rows
from recfunnel.study.planning import Planning

Row = dict[str, Any]


def fit_rows(planning: Planning, only: tuple[str, ...] = ()) -> list[Row]:
    """How each fitted model came out on validation."""
    rows = []
    for name in only or tuple(planning.study.models):
        folder = planning.steps.models_folder / name
        fit = read_json(folder / MANIFEST, dict[str, Any])["report"]
        history = fit["history"]
        rows.append(
            {
                "model": name,
                "metric": fit["metric"],
                "validation": history[fit["best_epoch"]] if history else None,
                "epochs": len(history),
                "fit_seconds": round(fit["seconds"], 1),
                "folder": str(folder),
            }
        )
    return rows


def quality_rows(planning: Planning) -> list[Row]:
    """How each model ranks alone, on the test split; `_stderr` beside the main metric."""
    k = planning.study.space.num_answers
    rows = []
    for row in model_rows(planning):
        assert row.ndcg is not None, "a scored model has metrics"
        rows.append(
            {
                "model": row.name,
                f"ndcg@{k}": row.ndcg.mean,
                "ndcg_stderr": row.ndcg.stderr,
                f"hit_rate@{k}": _mean(row.hit_rate),
                f"recall@{k}": _mean(row.recall),
                f"mrr@{k}": _mean(row.mrr),
                "queries": row.ndcg.num_samples,
            }
        )
    return rows


def profile_rows(planning: Planning) -> list[Row]:
    """Mean service time of each model at each profiled number of candidates."""
    return [
        {
            "model": profile.model,
            "runtime": profile.runtime,
            "threads": profile.num_threads,
            "candidates": int(size),
            "mean_s": float(profile.latency_s[position].mean()),
            "p99_s": float(_p99(profile.samples(int(size)))),
            "source": profile.source,
        }
        for profile in planning.profile()
        for position, size in enumerate(profile.batch_sizes)
    ]


def _mean(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.mean


def _p99(ordered: Any) -> float:
    return float(ordered[min(ordered.size - 1, int(0.99 * ordered.size))])
