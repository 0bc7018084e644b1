"""Memories behind and beside an accelerator: SRAM, DRAM, SSD, and the way to the host."""
