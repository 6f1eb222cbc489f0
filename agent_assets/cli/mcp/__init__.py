"""`agent-assets mcp`: the tool servers of pipelines."""
