"""Questions, teachers and the agent loop over MCP tools: where training data comes from."""
