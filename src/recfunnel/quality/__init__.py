"""Score query sets once, then measure any funnel by indexing."""
