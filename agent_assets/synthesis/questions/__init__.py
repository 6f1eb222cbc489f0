"""The questions a pipeline trains on: scripted or by a language model."""
