"""Starting, following and ending programs of an engine environment."""
