"""A plan as a service: requests in, ranked items out, inside the deadline."""
