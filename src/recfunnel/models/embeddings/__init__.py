"""Embedding representations that any ranking network can take, per feature."""
