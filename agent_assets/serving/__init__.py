"""The HTTP API: released agents that answer, training jobs with their progress, models, tokens."""
