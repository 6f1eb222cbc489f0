"""`agent-assets doctor`."""
