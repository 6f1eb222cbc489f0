"""How many tokens a text takes, whatever the model: rows and prompts are made before anybody says
which base model learns them, and do not change with it.
"""

from string import ascii_letters, digits, whitespace

_DIGITS = digits.encode()
_NO_SIGNS = (ascii_letters + digits + whitespace).encode()


def approximate_text_tokens(text: str) -> float:
    """About how many tokens a text has in a small model's vocabulary.

    A digit or a sign is about one token, a Chinese character two, other letters a quarter.
    """
    ascii_text = text.encode("ascii", "ignore")
    others = len(text) - len(ascii_text)
    numerals = len(ascii_text) - len(ascii_text.translate(None, _DIGITS))
    signs = len(ascii_text.translate(None, _NO_SIGNS))
    letters = len(text) - numerals - others - signs
    return numerals + 2 * others + 0.8 * signs + letters / 4.2
