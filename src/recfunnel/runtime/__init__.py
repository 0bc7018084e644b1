"""Run a model on a real platform and time the call."""
