"""The last stage, which is off by default: the model for other programs."""
