"""What a teacher is asked to do: recall, memory tools, tool use."""
