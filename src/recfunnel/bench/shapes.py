"""The models the engine is measured on, as shapes: RecPipe's three DLRMs and NeuMF.

The tables are those of Criteo-Kaggle, in full 33.76 million rows. A smaller machine takes fewer.
"""

import difflib
from typing import Literal

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value

CARDINALITIES = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27, 14992,
    5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip
"""Ids of each of the 26 categorical features of Criteo-Kaggle."""

NUM_DENSE = 13
"""Dense features of Criteo-Kaggle."""

ITEM_FEATURES = (2, 3, 9, 10, 11, 15, 18, 20, 23, 25)
"""Of the 26, those taken to be an item's where a query's context is its own: ten features, the five
biggest tables among them. Criteo's are anonymous, so the split is an assumption."""

SMALLEST_TABLE = 4
"""Rows a table keeps at least when tables are made smaller, if it has them."""


class DLRMShape(Value, frozen=True):
    """A DLRM over the features of Criteo-Kaggle.

    Args:
        name: RecPipe's.
        dim: length of an embedding vector, and the width the bottom network ends with.
        bottom: widths of the bottom network's layers after its 13 inputs.
        top: widths of the top network's layers after its inputs.
    """

    name: str
    dim: int
    bottom: tuple[int, ...]
    top: tuple[int, ...]


class NeuMFShape(Value, frozen=True):
    """A NeuMF as its paper has it, over users and items of MovieLens-1M.

    Args:
        name: of the shape.
        num_users: rows of the user tables.
        num_items: rows of the item tables.
        mf_dim: length of the vectors that are multiplied.
        tower: widths of the network on both long vectors, from its inputs on.
    """

    name: str
    num_users: int
    num_items: int
    mf_dim: int
    tower: tuple[int, ...]


Shape = DLRMShape | NeuMFShape

SHAPES: tuple[Shape, ...] = (
    DLRMShape(name="RM_small", dim=4, bottom=(64, 4), top=(64, 1)),
    DLRMShape(name="RM_med", dim=16, bottom=(64, 16), top=(64, 1)),
    DLRMShape(name="RM_large", dim=32, bottom=(512, 256, 128, 64, 32), top=(96, 1)),
    NeuMFShape(
        name="NeuMF_large", num_users=6040, num_items=3706, mf_dim=128, tower=(1024, 512, 256, 128)
    ),
)

Setting = Literal["plain", "catalogue"]
"""plain: every feature differs for each candidate. catalogue: a query has one context, and its
candidates are items of a catalogue, ten features each."""


def shape_named(name: str) -> Shape:
    """The shape of that name.

    Raises:
        StudyError: there is none.
    """
    for shape in SHAPES:
        if shape.name.lower() == name.lower():
            return shape
    names = [shape.name for shape in SHAPES]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
    raise StudyError(f"no model {name!r} to measure; {hint}")


def cardinalities(num_rows: int | None) -> tuple[int, ...]:
    """Rows of each of the 26 tables.

    Args:
        num_rows: of all tables together, about; None for the full size.

    Raises:
        StudyError: fewer rows than features.
    """
    if num_rows is None:
        return CARDINALITIES
    if num_rows < SMALLEST_TABLE * len(CARDINALITIES):
        raise StudyError(
            f"{num_rows} rows for {len(CARDINALITIES)} tables; "
            f"give at least {SMALLEST_TABLE * len(CARDINALITIES)}"
        )
    share = min(1.0, num_rows / sum(CARDINALITIES))
    return tuple(max(min(n, SMALLEST_TABLE), int(n * share)) for n in CARDINALITIES)
