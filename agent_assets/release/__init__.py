"""Which version of an agent answers: the gate that compares, the pointer that moves, and its
history.
"""
