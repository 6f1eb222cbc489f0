"""The only code that writes to the collection of answers."""
