"""Runs of words that two texts share: six words in a row are a repetition, not a coincidence."""

import re
import unicodedata

from agent_assets.text.scripts import UNSPACED

_TOKEN = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def runs_of_words(text: str, *, words: int, characters: int) -> set[str]:
    """Every run of so many words, and in scripts without spaces of so many characters, whatever
    stands between them.
    """
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    runs = set()
    for length, unspaced in ((words, False), (characters, True)):
        for start in range(len(tokens) - length + 1):
            run = tokens[start : start + length]
            if all(bool(_UNSPACED.match(token)) is unspaced for token in run):
                runs.add(" ".join(run))
    return runs
