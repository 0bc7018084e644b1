"""From a trained model's graph to the form a query is answered with, in small steps."""
