"""The engine's speed on this machine, other runtimes beside it in one process."""
