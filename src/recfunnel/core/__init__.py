"""The values every room shares, errors, seeds, the registry and stored files."""
