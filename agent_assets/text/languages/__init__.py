"""One module per language, named by its ISO 639 code, with `RULES`; `generic` serves every other
language.
"""
