"""Base models of an installation, by key."""
