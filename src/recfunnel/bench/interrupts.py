"""What the system counts of its timer's interrupts."""

from pathlib import Path

INTERRUPTS = Path("/proc/interrupts")


def timer_interrupts() -> list[int]:
    """Of each core since the system started; empty where they are not counted."""
    lines = INTERRUPTS.read_text().splitlines() if INTERRUPTS.exists() else []
    words = next((line.split()[1:] for line in lines if line.lstrip().startswith("LOC:")), [])
    return [int(word) for word in words if word.isdecimal()]
