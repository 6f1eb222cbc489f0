"""External systems as Dagster resources."""
