"""Fixtures shared by all tests."""

import os

pytest_plugins = ["mongo_fixtures", "engine_fixtures", "postgres_fixtures"]

# A key in the environment of whoever runs the tests must not make them ask a paid language model.
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TEACHER_MODEL"):
    os.environ.pop(name, None)
