"""The contract of each extension point, for a plug-in's tests to subclass."""
