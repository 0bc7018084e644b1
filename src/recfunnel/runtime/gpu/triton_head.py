"""The kernel of `head`, in Triton.

Letters: N items, B candidates, K numbers of a state, H hidden units.
"""

import torch
import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]
from torch import Tensor

FEW_AT_ONCE, MANY_AT_ONCE = 16, 64
"""Candidates of a program: few while there are not enough of them to occupy a whole GPU."""

MANY_CANDIDATES = 1 << 13
STATE_AT_ONCE = 32
WIDE = 1 << 13
"""Hidden units of a program that 4 warps cannot keep in registers."""

NARROWEST = 16
"""Matrix units take no fewer rows or columns."""


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _head(  # type: ignore[no-untyped-def]
    states,
    shares,
    matrix,
    offset,
    weights,
    bias,
    rows,
    scores,
    first_item,
    num_columns,
    K: tl.constexpr,  # noqa: N803
    H: tl.constexpr,  # noqa: N803
    has_shares: tl.constexpr,
    has_rows: tl.constexpr,
    candidates: tl.constexpr,
    numbers: tl.constexpr,
    units: tl.constexpr,
):
    place = tl.program_id(0) * candidates + tl.arange(0, candidates)
    here = place < num_columns
    if has_rows:
        row = tl.load(rows + place, mask=here, other=0).to(tl.int64)
    else:
        row = first_item + place.to(tl.int64)
    unit = tl.arange(0, units)
    known = unit < H
    of_query = tl.load(offset + unit, mask=known, other=0.0)
    hidden = tl.zeros((candidates, units), tl.float32) + of_query[None, :]
    if has_shares:
        both = here[:, None] & known[None, :]
        share = tl.load(shares + row[:, None] * H + unit[None, :], mask=both, other=0.0)
        hidden += share.to(tl.float32)
    for start in range(0, K, numbers):
        number = start + tl.arange(0, numbers)
        there = number < K
        state = tl.load(
            states + row[:, None] * K + number[None, :],
            mask=here[:, None] & there[None, :],
            other=0.0,
        )
        part = tl.load(
            matrix + unit[None, :] * K + number[:, None],
            mask=there[:, None] & known[None, :],
            other=0.0,
        )
        hidden = tl.dot(state, part, hidden, input_precision="ieee")
    weight = tl.load(weights + unit, mask=known, other=0.0)
    score = tl.sum(tl.maximum(hidden, 0.0) * weight[None, :], axis=1) + tl.load(bias)
    tl.store(scores + place, score, mask=here)


def head_scores(
    states: Tensor,
    shares: Tensor | None,
    matrix: Tensor,
    offset: Tensor,
    weights: Tensor,
    bias: Tensor,
    rows: Tensor | None,
    first_item: int,
    num_columns: int,
) -> Tensor:
    """weights · ReLU(matrix · state + share + offset) + bias for each candidate.

    Args:
        states: (N, K), float32 or bfloat16.
        shares: (N, H), likewise; None for none.
        matrix: (H, K), of the type of `states`.
        offset: float32 (H,).
        weights: float32 (H,).
        bias: float32 (1,).
        rows: int32 (B,), rows of items; None for a run of them.
        first_item: of that run.
        num_columns: B.

    Returns:
        float32 (B,).
    """
    H, K = matrix.shape
    scores = torch.empty(num_columns, dtype=torch.float32, device=states.device)
    at_once = FEW_AT_ONCE if num_columns < MANY_CANDIDATES else MANY_AT_ONCE
    units = max(NARROWEST, triton.next_power_of_2(H))
    _head[(triton.cdiv(num_columns, at_once),)](
        states,
        states if shares is None else shares,
        matrix,
        offset,
        weights,
        bias,
        scores if rows is None else rows,
        scores,
        first_item,
        num_columns,
        K,
        H,
        shares is not None,
        rows is not None,
        at_once,
        STATE_AT_ONCE,
        units,
        num_warps=8 if at_once * units >= WIDE else 4,
    )
    return scores
