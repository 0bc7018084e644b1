"""Finds, proves and serves the best multi-stage recommender a machine can deliver in time."""
