"""Unfinished training in one file, so that a killed process loses one epoch at most."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from recfunnel.core.errors import StorageError
from recfunnel.core.storage import replacing_file
from recfunnel.models.checkpoint import write_tensors
from recfunnel.train.optimisers import Mover

FILE = "attempt.safetensors"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far training has come.

    Args:
        num_epochs: finished.
        history: validation metric after each, higher is better.
        losses: mean training loss of each.
        best_epoch: index of the best in `history`; -1 before the first.
        seconds: spent, over all attempts.
    """

    num_epochs: int = 0
    history: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    best_epoch: int = -1
    seconds: float = 0.0

    def after(self, loss: float, metric: float, seconds: float) -> "Standing":
        """Standing after one more epoch."""
        history = (*self.history, metric)
        better = self.best_epoch < 0 or metric > self.history[self.best_epoch]
        return replace(
            self,
            num_epochs=self.num_epochs + 1,
            history=history,
            losses=(*self.losses, loss),
            best_epoch=len(history) - 1 if better else self.best_epoch,
            seconds=seconds,
        )


def save_attempt(
    folder: Path, module: nn.Module, mover: Mover, best: Mapping[str, Tensor], standing: Standing
) -> None:
    """Write everything needed to go on, as one file that appears whole.

    Args:
        folder: the work folder.
        module: current parameters and buffers.
        mover: optimiser state and steps taken.
        best: parameters of the best epoch so far.
        standing: how far training has come.
    """
    tensors = {f"now.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, optimiser in enumerate(mover.optimisers):
        for index, state in optimiser.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimiser.{number}.{index}.{key}"] = torch.as_tensor(value)
    about = {
        "num_epochs": standing.num_epochs,
        "history": standing.history,
        "losses": standing.losses,
        "best_epoch": standing.best_epoch,
        "seconds": standing.seconds,
        "num_taken": mover.num_taken,
    }
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with replacing_file(folder / FILE) as temporary:
        write_tensors(temporary, whole, metadata={"standing": json.dumps(about)})


def load_attempt(
    folder: Path, module: nn.Module, mover: Mover
) -> tuple[Standing, dict[str, Tensor]]:
    """Go on from what `save_attempt` wrote; a fresh standing when there is nothing.

    Args:
        folder: the work folder.
        module: gets the stored parameters.
        mover: gets the stored optimiser state.

    Returns:
        The standing, and the parameters of the best epoch so far.

    Raises:
        StorageError: the file is damaged or of another model.
    """
    path = folder / FILE
    if not path.exists():
        return Standing(), {}
    try:
        with safe_open(path, framework="pt") as stored:
            about = json.loads(stored.metadata()["standing"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        module.load_state_dict(_under("now.", tensors))
        _restore_optimisers(mover, tensors)
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise StorageError(
            f"{path} is damaged or of another model: {error}; delete it and run again"
        ) from error
    mover.num_taken = about.pop("num_taken")
    about["history"], about["losses"] = tuple(about["history"]), tuple(about["losses"])
    return Standing(**about), _under("best.", tensors)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _restore_optimisers(mover: Mover, tensors: Mapping[str, Tensor]) -> None:
    for number, optimiser in enumerate(mover.optimisers):
        states: dict[int, dict[str, Any]] = {}
        for name, value in _under(f"optimiser.{number}.", tensors).items():
            index, key = name.split(".", 1)
            is_count = key == "step" and isinstance(optimiser, torch.optim.SparseAdam)
            states.setdefault(int(index), {})[key] = int(value) if is_count else value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": states, "param_groups": groups})
