"""The recfunnel command: parses, calls study, prints."""
