"""agent-assets: agents trained, evaluated and served from memories and tools, as a Dagster asset
graph.
"""
