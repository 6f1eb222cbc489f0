"""The stages of a pipeline, one artifact each."""
