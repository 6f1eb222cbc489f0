"""Asking a language model behind an OpenAI-compatible endpoint: retries, cached answers, spend
caps, JSON answers.
"""
