"""Turn a public or private data set into a schema, training rows and query sets."""
