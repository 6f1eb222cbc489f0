"""What the HTML pages share: one file that opens offline, everything escaped, no script but its
own.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.evaluation.report import percent
from agent_assets.html_pages import html_environment

if TYPE_CHECKING:
    from jinja2 import Environment

KINDS = {
    "tool": "Tool call",
    "recall_open": "Recall with tools",
    "recall_closed": "Recall without tools",
    "abstention": "Never told",
    "conversation": "Conversation",
    "own": "Own rows",
}
TEMPLATES = Path(__file__).parent / "templates"


@cache
def page_environment() -> "Environment":
    """Jinja environment of the pages, with the filters all of them use."""
    environment = html_environment(TEMPLATES)
    environment.filters |= {
        "percent": percent,
        "number": number_text,
        "words": lambda name: str(name).replace("_", " "),
    }
    return environment


def script_hash(script: str) -> str:
    """What the content security policy of a page says about its script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def number_text(value: object) -> str:
    """A number with thousands separated; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
