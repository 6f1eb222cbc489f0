"""Languages, a person's own words, answers and grounding, as plain text."""
