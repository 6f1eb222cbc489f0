"""Arguments of tool calls, sampled from a schema or taken from memories."""
