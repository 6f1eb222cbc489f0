"""What an entry of an mcp_config.json may hold besides a server: variables, and HTTP APIs."""
