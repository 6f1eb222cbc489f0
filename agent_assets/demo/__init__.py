"""Sample elders and what `make demo` runs."""
