"""The chat templates that training and serving share."""
