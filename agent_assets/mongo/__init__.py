"""Memories in MongoDB: layouts, reading, change signatures, retries."""
