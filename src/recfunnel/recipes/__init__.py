"""Whole studies as functions that return a frozen Study."""
