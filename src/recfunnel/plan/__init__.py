"""Search pipelines and mappings, keep the frontier, pick what to deploy, check it."""
