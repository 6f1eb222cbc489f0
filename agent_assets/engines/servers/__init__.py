"""Inference servers and the adapters they hold."""
