"""Replay a workload in simulated time."""
