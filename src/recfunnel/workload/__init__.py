"""When queries arrive, and how many candidates each brings."""
