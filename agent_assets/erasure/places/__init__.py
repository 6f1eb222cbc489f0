"""The places, one module each, and what they share."""
