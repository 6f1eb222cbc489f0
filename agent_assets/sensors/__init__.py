"""The schedule and the sensors of an installation: what is stale, and what has to be known."""
