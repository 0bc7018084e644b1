"""Optimisers that leave untouched table rows alone, and the learning rate over steps.

AdamW moves every row of every table at every step. That is the faster way while tables are small
(one fused pass over contiguous memory) and hopeless for millions of rows, so tables from
`sparse_rows` on get sparse gradients and a lazy Adam that reads and writes only the rows of the
batch (Kingma & Ba, 2015, with the moments of absent rows left as they are).
"""

from math import cos, pi

import torch
from torch import nn

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value


class Descent(Value, frozen=True):
    """How parameters are moved.

    Args:
        learning_rate: at its highest, after warm-up.
        weight_decay: of AdamW, decoupled; sparse tables have none.
        warmup_steps: steps of linear rise.
        decay: what follows: none, or a fall to 0 over the planned steps, linear or as a cosine.
        sparse_rows: tables with at least this many rows get row-sparse updates.
        max_gradient_norm: longer gradients are scaled down to it; 0 turns it off.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup_steps: int = 0
    decay: str = "none"
    sparse_rows: int = 100_000
    max_gradient_norm: float = 0.0

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise StudyError(f"learning_rate is {self.learning_rate}, must be above 0")
        if self.decay not in ("none", "linear", "cosine"):
            raise StudyError(f"decay is {self.decay!r}; known: none, linear, cosine")
        if min(self.weight_decay, self.warmup_steps, self.max_gradient_norm) < 0:
            raise StudyError(
                "weight_decay, warmup_steps and max_gradient_norm must not be negative"
            )

    def factor(self, step: int, num_steps: int) -> float:
        """Share of the learning rate at one step, 0 to 1."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.decay == "none":
            return 1.0
        left = 1 - (step - self.warmup_steps) / max(1, num_steps - self.warmup_steps)
        left = min(1.0, max(0.0, left))
        return left if self.decay == "linear" else 0.5 - 0.5 * cos(pi * left)


class Mover:
    """The optimisers of one network, stepped together.

    Args:
        module: its tables of at least `descent.sparse_rows` rows are set to sparse gradients.
        descent: how to move.
        num_steps: planned, for the decay.
    """

    def __init__(self, module: nn.Module, descent: Descent, num_steps: int) -> None:
        self._descent = descent
        self._num_steps = num_steps
        self.num_taken = 0
        self._tables = [
            part
            for part in module.modules()
            if isinstance(part, nn.Embedding | nn.EmbeddingBag)
            and part.num_embeddings >= descent.sparse_rows
            and part.weight.requires_grad
        ]
        for table in self._tables:
            table.sparse = True
        sparse = [table.weight for table in self._tables]
        held = {id(weight) for weight in sparse}
        self._dense = [p for p in module.parameters() if p.requires_grad and id(p) not in held]
        self.optimisers: list[torch.optim.Optimizer] = []
        if self._dense:
            self.optimisers.append(
                torch.optim.AdamW(
                    self._dense,
                    lr=descent.learning_rate,
                    weight_decay=descent.weight_decay,
                    fused=True,
                )
            )
        if sparse:
            self.optimisers.append(torch.optim.SparseAdam(sparse, lr=descent.learning_rate))

    def step(self, loss: torch.Tensor) -> None:
        """Move every parameter once, down the gradient of `loss`."""
        rate = self._descent.learning_rate * self._descent.factor(self.num_taken, self._num_steps)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate
        loss.backward()  # type: ignore[no-untyped-call]
        if self._descent.max_gradient_norm:
            nn.utils.clip_grad_norm_(self._dense, self._descent.max_gradient_norm)
        for optimiser in self.optimisers:
            optimiser.step()
        self.num_taken += 1

    def release(self) -> None:
        """Set the tables back to dense gradients, as they were built."""
        for table in self._tables:
            table.sparse = False
