"""Whether torch is there, and the device it shall run on."""

from recfunnel.core.errors import MissingExtraError, StudyError


def check_torch(device: str) -> None:
    """Look before anything is loaded.

    Args:
        device: torch device, such as `cpu` or `cuda`.

    Raises:
        MissingExtraError: torch, or what checkpoints are read with, is not installed.
        StudyError: there is no such device.
    """
    try:
        import safetensors  # noqa: F401 - what checkpoints are read with
        import torch
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise StudyError(f"torch has no device {device!r} here: {error}") from error
