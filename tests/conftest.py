"""Fixtures shared by all tests."""

pytest_plugins = ["mongo_fixtures", "engine_fixtures", "postgres_fixtures"]
