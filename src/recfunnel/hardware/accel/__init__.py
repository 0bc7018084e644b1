"""The whole accelerator: what is built, what is asked of it, how it is used, and its unit times."""
