"""Serving plans as files that notice when they were changed."""

from pathlib import Path

import msgspec

from recfunnel.core.errors import StorageError
from recfunnel.core.results import ServingPlan
from recfunnel.core.storage import content_hash, read_json, write_json


def sealed(plan: ServingPlan, models_key: str) -> ServingPlan:
    """The plan with a content hash that also names the scores behind it."""
    unsealed = msgspec.structs.replace(plan, content_hash=models_key)
    return msgspec.structs.replace(plan, content_hash=f"{models_key}.{content_hash(unsealed)}")


def save_plan(path: Path, plan: ServingPlan) -> None:
    """Store a plan as JSON, whole or not at all.

    Raises:
        StorageError: no space, no permission.
    """
    write_json(path, plan)


def load_plan(path: Path) -> ServingPlan:
    """Read what `save_plan` wrote.

    Raises:
        StorageError: missing, damaged, or changed since it was made.
    """
    plan = read_json(path, ServingPlan)
    models_key = plan.content_hash.rpartition(".")[0]
    if sealed(plan, models_key) != plan:
        raise StorageError(
            f"{path} was changed after it was made: its content hash does not match; plan again"
        )
    return plan
