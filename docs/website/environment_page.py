"""Environment variables as a Markdown page, from the table of `agent_assets/settings.py`."""

import re
from dataclasses import fields

from pydantic.fields import FieldInfo

from agent_assets import settings

_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)


def environment_page() -> str:
    """The table, and that nothing else reads variables.

    Raises:
        SystemExit: a variable is read and the table does not say what it means.
    """
    rows = _ROW.findall(settings.__doc__ or "")
    named = " ".join(row.split("|")[1] for row in rows).split()
    for kind in (settings.Settings, settings.TeacherEnvironment):
        for field in fields(kind):
            if isinstance(field.default, FieldInfo):
                variable = field.default.validation_alias
                if variable not in named:
                    raise SystemExit(f"agent_assets/settings.py: its table lacks {variable}.")
    head, rule, *variables = (_as_code(row) for row in rows)
    return (
        "# Environment variables\n\n"
        "Every command reads them; `agent_assets/settings.py` is the only module that does. "
        "A variable that is empty counts as not set.\n\n"
        + "\n".join([head.replace("`", ""), rule, *variables])
        + "\n"
    )


def _as_code(row: str) -> str:
    _, name, *others = row.split("|")
    name = name.strip()
    code = name if name.startswith(("(", "-")) else f"`{name}`"
    return "|".join(["", f" {code} ", *others])
