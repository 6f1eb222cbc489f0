"""Teachers, scripted and LLM, and the journal of what they did."""
