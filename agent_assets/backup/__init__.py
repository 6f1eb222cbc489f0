"""Saving an installation to a folder, and making one from it."""
