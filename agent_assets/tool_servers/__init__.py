"""MCP servers that ship with the product: elder memories and the sample energy market."""
