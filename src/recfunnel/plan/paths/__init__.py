"""Choose the set of paths to keep ready: what fits each memory and serves best at the load."""
