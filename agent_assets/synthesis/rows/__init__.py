"""Training rows: examples, their checks, the mixture, coverage."""
