"""The Dagster UI behind the door of the HTTP API."""
