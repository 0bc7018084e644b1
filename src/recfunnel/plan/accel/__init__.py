"""The search for the best design of the simulated accelerator."""
