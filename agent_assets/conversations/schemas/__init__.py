"""JSON Schemas of tools: drafts, references, patterns, validators."""
