"""Stored score tables: one folder each, memory-mapped when read."""

from pathlib import Path

from recfunnel.core.errors import StorageError
from recfunnel.core.model import ScoreTable
from recfunnel.core.storage import load_arrays, save_arrays


def save_scores(folder: Path, table: ScoreTable) -> None:
    """Store a score table; the folder appears whole or not at all.

    Raises:
        StorageError: no space, no permission.
    """
    save_arrays(folder, {"scores": table.scores}, {"kind": "scores", "model": table.model})


def load_scores(folder: Path) -> ScoreTable:
    """Read what `save_scores` wrote, without loading it into memory.

    Raises:
        StorageError: missing, damaged, of another version, or not a score table.
    """
    arrays, manifest = load_arrays(folder)
    if manifest.get("kind") != "scores" or "scores" not in arrays:
        raise StorageError(f"{folder} holds no score table; delete it and score again")
    return ScoreTable(manifest["model"], arrays["scores"])
