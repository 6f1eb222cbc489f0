"""The run-time of an agent: the loop over a chat model and MCP tools, and its tracing."""
