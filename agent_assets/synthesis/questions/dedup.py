"""Which questions are new: exact and near duplicates by the Jaccard similarity of character
trigrams.

The method is the usual one for text corpora (Broder, "On the resemblance and containment of
documents", 1997), computed exactly: a pipeline has thousands of questions, not millions. Texts are
compared after NFKC, in lower case, without signs and spaces. Numbers are compared apart: two
questions that ask for different days are two questions.
"""

import unicodedata
from collections import Counter, defaultdict

from agent_assets.text.numbers import written_numbers

_SIZE = 3


class Distinct:
    """The questions so far.

    Args:
        threshold: similarity (0 to 1) from which two questions with the same numbers are one.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._exact: set[str] = set()
        self._by_numbers: defaultdict[tuple[str, ...], list[frozenset[str]]] = defaultdict(list)
        self.dropped: Counter[str] = Counter()

    def add(self, text: str) -> bool:
        """Take in a question; False, counted in `dropped`, when it is there already, as it is or
        nearly.
        """
        bare = normal_text(text)
        numbers = tuple(sorted(written_numbers(unicodedata.normalize("NFKC", text))))
        grams = trigrams("".join(letter for letter in bare if not letter.isdecimal()))
        if bare in self._exact:
            self.dropped["exact_duplicate"] += 1
            return False
        if any(jaccard(grams, other) >= self._threshold for other in self._by_numbers[numbers]):
            self.dropped["near_duplicate"] += 1
            return False
        self._exact.add(bare)
        self._by_numbers[numbers].append(grams)
        return True


def normal_text(text: str) -> str:
    """Letters and digits alone, NFKC, in lower case."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum()
    )


def trigrams(text: str) -> frozenset[str]:
    """Every run of three characters; a shorter text is its own only one."""
    return frozenset(text[start : start + _SIZE] for start in range(max(1, len(text) - _SIZE + 1)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared over all, 0 to 1."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
