"""Stems of English words."""

import re

_HISSED = re.compile(r"(?:ss|x|z|ch|sh)es$")  # the plural that adds a syllable
_SILENT_E = re.compile(
    r"^[^aeiou]*[aeiou][^aeiouwxy]$"
)  # what -ed and -ing leave of care, name, live


def stem(word: str) -> str:
    """Cut plural, -ed and -ing: "sailed ships" finds "sailing ship". Not linguistics, but both
    sides are cut alike.
    """
    if not word.isalpha():
        return word
    if word.endswith(("ies", "ied")) and len(word) > 4:
        word = word[:-3] + "y"
    elif _HISSED.search(word):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for suffix in ("ing", "ed"):
        base = word.removesuffix(suffix)
        if base != word and len(base) > 1 and re.search("[aeiouy]", base):
            word = (
                base + "e" if len(base) == 2 or (len(base) == 3 and _SILENT_E.match(base)) else base
            )
    if len(word) > 3 and word[-1] == word[-2]:
        return word[:-1]  # stopped, stopping -> stop
    return word[:-1] if len(word) > 4 and word.endswith("e") else word  # raise, raising -> rais
