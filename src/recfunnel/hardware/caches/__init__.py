"""Row caches in front of embedding tables: exact hit counts of a trace, and how to divide SRAM."""
