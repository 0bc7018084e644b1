"""Fit one model; keep its checkpoint."""
