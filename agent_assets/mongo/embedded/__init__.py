"""A real mongod on this machine, from the `embedded` extra."""
