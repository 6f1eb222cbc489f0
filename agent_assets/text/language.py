"""Languages that questions, templates and answers are written in."""

from typing import Literal

Language = Literal["en", "zh"]
