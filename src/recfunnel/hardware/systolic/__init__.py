"""A systolic array: cycles of matrix products, words moved, and the array cut into parts."""
