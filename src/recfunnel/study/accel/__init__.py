"""A run folder's models on the simulated accelerator."""
