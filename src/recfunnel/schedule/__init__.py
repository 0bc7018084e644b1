"""Choose the path of each query; knows no clock and no thread."""
