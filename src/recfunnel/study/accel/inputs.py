"""From a run folder to a search: what its models ask of an accelerator, and how they rank."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recfunnel.core.arrays import FloatArray
from recfunnel.core.dataset import QuerySet, load_dataset
from recfunnel.core.errors import StudyError
from recfunnel.core.model import ScoreTable
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.hot_rows import HotRows
from recfunnel.hardware.accel.work import dlrm_work
from recfunnel.hardware.artifact import constants as at
from recfunnel.plan.accel.filters import FilteredBook
from recfunnel.plan.accel.problem import AccelModel, AccelProblem
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.tables import load_scores
from recfunnel.study.accel.stored import stored_model
from recfunnel.study.recpipe.our_model import CHIP, NUM_TABLES, WORD_BYTES

NUM_SAMPLES = 200
"""Validation queries whose scores set the edges of filters."""

RECPIPE_MODELS = {"dlrm_small": "S", "dlrm_medium": "M", "dlrm_large": "L"}
"""Names of a run's models, and RecPipe's networks of the same depths and widths."""

RECPIPE_CANDIDATES = 4096


@dataclass(frozen=True, eq=False, slots=True)
class AccelInputs:
    """A search without its space and target.

    Args:
        problem: models and what they ask.
        quality: how they rank.
        left_out: models of the run that no stage can be, each with the reason.
    """

    problem: AccelProblem
    quality: FilteredBook
    left_out: tuple[str, ...]


def run_inputs(
    run: Path,
    models: Sequence[str] = (),
    *,
    num_queries: int = 500,
    num_answers: int = 64,
    recpipe_sizes: bool = False,
    chip: Chip | None = None,
    margin: float = 1.25,
) -> AccelInputs:
    """Read a run folder.

    Args:
        run: with data, models and scores of both splits.
        models: names; all that a stage can be when none is given.
        num_queries: test queries that judge, evenly chosen; all when there are no more.
        num_answers: of a query.
        recpipe_sizes: price `dlrm_small`, `dlrm_medium` and `dlrm_large` as RecPipe's networks on
            Criteo (26 tables, 4,096 candidates, its published chip) and rank by the run's scores.
        chip: what is built; the model's own, or with `recpipe_sizes` the published one, when None.
        margin: of running thresholds.

    Returns:
        Models that can be stages, cheapest first, and their quality.

    Raises:
        StudyError: no scores, an unknown model, or none that can be a stage.
    """
    queries = _judges(run, num_queries)
    num_in = RECPIPE_CANDIDATES if recpipe_sizes else queries.num_columns
    if not num_answers < min(num_in, queries.num_columns):
        raise StudyError(
            f"{num_answers} answers of {queries.num_columns} candidates; give fewer answers"
        )
    found, left_out = _models(run, models, num_answers, recpipe_sizes=recpipe_sizes)
    ordered = dict(sorted(found.items(), key=lambda item: item[1].work.shape.macs))
    return AccelInputs(
        problem=AccelProblem(
            chip=chip or (CHIP if recpipe_sizes else Chip()),
            models=ordered,
            num_in=num_in,
            num_answers=num_answers,
        ),
        quality=_quality(run, tuple(ordered), queries, num_queries, num_in, num_answers, margin),
        left_out=left_out,
    )


def _judges(run: Path, num_queries: int) -> QuerySet:
    if not (run / "data").is_dir() or not (run / "scores" / "test").is_dir():
        raise StudyError(
            f"{run} holds no scores; give the folder of a run, or make one: "
            f"recfunnel score quick -o {run}"
        )
    return load_dataset(run / "data").test.take(_rows(run, num_queries))


def _rows(run: Path, num_queries: int) -> np.ndarray:
    """Which test queries judge."""
    if num_queries < 2:
        raise StudyError(f"{num_queries} queries give no interval; judge at least 2")
    total = len(load_dataset(run / "data").test)
    return np.unique(np.linspace(0, total - 1, min(num_queries, total)).astype(np.int64))


def _models(
    run: Path, asked: Sequence[str], num_answers: int, *, recpipe_sizes: bool
) -> tuple[dict[str, AccelModel], tuple[str, ...]]:
    stored = sorted(path.name for path in (run / "scores" / "test").iterdir() if path.is_dir())
    for name in asked:
        if name not in stored:
            raise StudyError(f"{run} has no scores of {name!r}; it has {', '.join(stored)}")
    found: dict[str, AccelModel] = {}
    reasons = []
    for name in asked or stored:
        try:
            found[name] = (
                _recpipe_model(name, num_answers)
                if recpipe_sizes
                else stored_model(run / "models", name, num_answers)
            )
        except StudyError as error:
            reasons.append(str(error))
    if not found:
        raise StudyError("no model can be a stage: " + "; ".join(reasons))
    return found, tuple(reasons)


def _recpipe_model(name: str, num_answers: int) -> AccelModel:
    if name not in RECPIPE_MODELS:
        raise StudyError(f"{name!r} is no network of RecPipe's; known: {', '.join(RECPIPE_MODELS)}")
    network = at.CRITEO[RECPIPE_MODELS[name]]
    work = dlrm_work(network.bottom, network.top, NUM_TABLES, num_answers, word_bytes=WORD_BYTES)
    curve = tuple((float(rows), float(share)) for rows, share in at.FIFO_HITS)
    return AccelModel(name=name, work=work, demand=HotRows(num_tables=NUM_TABLES, curve=curve))


def _quality(
    run: Path,
    names: tuple[str, ...],
    queries: QuerySet,
    num_queries: int,
    num_in: int,
    num_answers: int,
    margin: float,
) -> FilteredBook:
    rows = _rows(run, num_queries)
    tables = [
        ScoreTable(name, np.asarray(load_scores(run / "scores" / "test" / name).scores)[rows])
        for name in names
    ]
    marks = [run / "done" / f"score.test.{name}.json" for name in names]
    return FilteredBook(
        ScoreBook(queries, tables, k=num_answers),
        {name: _sample(run, name) for name in names},
        num_in=num_in,
        margin=margin,
        key=",".join(mark.read_text() for mark in marks if mark.exists()),
    )


def _sample(run: Path, name: str) -> FloatArray:
    scores = load_scores(run / "scores" / "validation" / name).scores
    rows = np.linspace(0, len(scores) - 1, min(NUM_SAMPLES, len(scores))).astype(np.int64)
    return np.asarray(scores[rows])
