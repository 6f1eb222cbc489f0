"""MCP servers: their configuration, a toolbox over their sessions, their errors."""
