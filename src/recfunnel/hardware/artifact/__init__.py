"""The timing model published with RecPipe, faults included, and what each correction changes."""
