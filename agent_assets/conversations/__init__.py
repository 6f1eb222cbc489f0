"""Message and tool-call types, row formats, tool schemas, row validation. Engines import this room
too.
"""
