"""Refuse a built site that loads something from elsewhere, or names a folder of this machine.

Run: python -m docs.website.check_site FOLDER
"""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# By tag, the attribute whose address a browser asks for without being told to.
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class _Loads(HTMLParser):
    """Collects addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        wanted = LOADS.get(tag)
        self.addresses += [value for name, value in attributes if name == wanted and value]


def problems(folder: Path) -> Iterator[str]:
    """What is wrong with each page, one line each."""
    for page in sorted(folder.rglob("*.html")):
        text, name = page.read_text(encoding="utf-8"), page.relative_to(folder)
        loads = _Loads()
        loads.feed(text)
        for address in loads.addresses:
            if "//" in address:
                yield f"{name} loads {address}"
        for place in (ROOT, Path.home()):
            if f"{place}/" in text:
                yield f"{name} names {place}"


def main() -> int:
    """Print what is wrong; exit code 1 when something is."""
    wrong = list(problems(Path(sys.argv[1])))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
