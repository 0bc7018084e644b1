"""Ranking networks: what a model is, how it is built and what a candidate costs."""
