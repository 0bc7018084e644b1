"""Area, power and energy of the simulated accelerator, with where each figure is from."""
