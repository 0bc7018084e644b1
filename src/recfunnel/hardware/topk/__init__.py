"""A top-k filter that streams: scores are counted in bins and the best bins are passed on."""
