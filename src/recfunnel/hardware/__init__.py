"""Platforms, and cost models of the simulated ones."""
