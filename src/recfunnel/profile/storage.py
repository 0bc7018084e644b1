"""Profiles in a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.errors import StorageError
from recfunnel.core.results import LatencyProfile
from recfunnel.core.storage import load_arrays, save_arrays


def save_profiles(folder: Path, profiles: Sequence[LatencyProfile]) -> None:
    """Store profiles as one folder that appears whole.

    Raises:
        StorageError: no space, no permission.
    """
    arrays: dict[str, NDArray[Any]] = {}
    entries = []
    for number, profile in enumerate(profiles):
        arrays[f"{number}.batch_sizes"] = profile.batch_sizes
        arrays[f"{number}.latency_s"] = profile.latency_s
        entries.append(
            {
                "model": profile.model,
                "platform": profile.platform,
                "num_threads": profile.num_threads,
                "source": profile.source,
                "notes": list(profile.notes),
                "runtime": profile.runtime,
                "fused_sizes": list(profile.fused_sizes),
            }
        )
    save_arrays(folder, arrays, {"profiles": entries})


def load_profiles(folder: Path) -> tuple[LatencyProfile, ...]:
    """Read what `save_profiles` wrote.

    Raises:
        StorageError: missing, damaged, or of another version.
    """
    arrays, manifest = load_arrays(folder)
    profiles = []
    for number, entry in enumerate(manifest.get("profiles", ())):
        names = f"{number}.batch_sizes", f"{number}.latency_s"
        missing = [name for name in names if name not in arrays]
        if missing:
            raise StorageError(f"{folder} lacks {missing[0]}.npy; profile again")
        sizes, latency_s = (np.asarray(arrays[name]) for name in names)
        notes, fused_sizes = tuple(entry.pop("notes")), tuple(entry.pop("fused_sizes", ()))
        profiles.append(
            LatencyProfile(
                **entry,
                batch_sizes=sizes,
                latency_s=latency_s,
                notes=notes,
                fused_sizes=fused_sizes,
            )
        )
    return tuple(profiles)
