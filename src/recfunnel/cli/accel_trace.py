"""`recfunnel accel trace`: what a run's queries look up, as a file for `accel cache`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from recfunnel.cli.printing import emit_json, say
from recfunnel.core.errors import StudyError

if TYPE_CHECKING:
    from recfunnel.core.arrays import FloatArray


def trace(
    run: Path,
    /,
    *,
    to: Path,
    split: Literal["validation", "test"] = "test",
    after: str | None = None,
    keep: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write the item ids that a stage looks up for a run's queries, a column a table.

    Args:
        run: run folder with prepared data.
        to: .npy to write, (candidates, tables).
        split: whose queries.
        after: model of the stage before, scored in that run; only its best are ranked. Every
            candidate of every query is ranked when not given.
        keep: candidates of a query that the stage before passes on.
        json: print JSON.
    """
    import numpy as np

    from recfunnel.core.dataset import load_dataset
    from recfunnel.core.storage import replacing_file
    from recfunnel.workload.ranked import item_tables, ranked_ids

    if after is not None and keep is None:
        raise StudyError(f"--after {after} needs --keep, the candidates that it passes on")
    dataset = load_dataset(run / "data")
    queries = dataset.test if split == "test" else dataset.validation
    scores = None if after is None else _scores(run / "scores" / split, after)
    ids = ranked_ids(queries, scores=scores, keep=keep)
    with replacing_file(to) as temporary, temporary.open("wb") as file:
        np.save(file, ids)
    tables, left_out = item_tables(queries)
    facts = {
        "trace": str(to),
        "queries": len(queries),
        "candidates": len(ids),
        "tables": tables,
        "left_out": left_out,
    }
    if json:
        emit_json(facts)
        return 0
    say(f"{to}: {len(ids)} candidates of {len(queries)} {split} queries")
    say("tables (rows): " + ", ".join(f"{name} ({rows})" for name, rows in tables.items()))
    if left_out:
        say("left out, since they have several values a candidate: " + ", ".join(left_out))
    return 0


def _scores(folder: Path, model: str) -> "FloatArray":
    from recfunnel.quality.tables import load_scores

    known = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
    if model not in known:
        raise StudyError(
            f"{folder} has no scores of {model!r}; known: {', '.join(known) or 'none'}"
        )
    return load_scores(folder / model).scores
