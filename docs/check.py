"""Check that the documentation is true: links lead somewhere, rooms exist, the command reference
matches the commands.

python docs/check.py            exit 1 with a list of what is wrong
python docs/check.py --write    write docs/cli.md anew from the commands
"""

import re
import sys
from pathlib import Path

import click

from agent_assets.cli.main import commands

ROOT = Path(__file__).resolve().parent.parent
CLI_PAGE = ROOT / "docs" / "cli.md"
MADE_WITH_THE_SITE = ROOT / "docs" / "reference"  # deploy/docs.sh, which checks links into it
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
_ROOM = re.compile(
    r"^\| `((?:agent_assets|resources|tests|docs|deploy|benchmarks)[\w/.]*)` \|", re.MULTILINE
)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_COMMAND = re.compile(r"(?:^|`|&& )agent-assets ([a-z-]+)(?: ([a-z]+))?", re.MULTILINE)
_MAKE_TARGET = re.compile(r"`make (\w+)`")


def cli_reference() -> str:
    """The command reference: `--help` of every command."""
    parts = [
        "# Commands\n\nGenerated from the commands themselves: `python docs/check.py --write`.\n"
    ]
    context = click.Context(commands, info_name="agent-assets")
    for name in sorted(name for name, command in commands.commands.items() if not command.hidden):
        command = commands.commands[name]
        with click.Context(command, parent=context, info_name=name) as own:
            parts.append(f"## agent-assets {name}\n\n```\n{command.get_help(own)}\n```\n")
            for name_below, below in getattr(command, "commands", {}).items():
                with click.Context(below, parent=own, info_name=name_below) as nested:
                    parts.append(
                        f"## agent-assets {name} {name_below}\n\n"
                        f"```\n{below.get_help(nested)}\n```\n"
                    )
    return "\n".join(parts)


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    local = [
        target for target in targets if "://" not in target and not target.startswith("mailto:")
    ]
    return [
        f"{page.relative_to(ROOT)}: {target}"
        for target in local
        if not (page.parent / target).exists()
        and (page.parent / target).resolve().parent != MADE_WITH_THE_SITE
    ]


def missing_rooms(page: Path) -> list[str]:
    """Folders and files a page's tables name that are not there, and packages of ours the page
    leaves out.
    """
    named = set(_ROOM.findall(page.read_text(encoding="utf-8")))
    gone = [
        f"{page.relative_to(ROOT)}: {name} does not exist"
        for name in sorted(named)
        if not (ROOT / name).exists()
    ]
    rooms = {
        f"agent_assets/{path.parent.name}" for path in (ROOT / "agent_assets").glob("*/__init__.py")
    }
    return gone + [
        f"{page.relative_to(ROOT)}: {room} is not described" for room in sorted(rooms - named)
    ]


def missing_targets(page: Path) -> list[str]:
    """`make` targets a page names that the Makefile lacks."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(_MAKE_TARGET.findall(page.read_text(encoding="utf-8")))
    return [
        f"{page.relative_to(ROOT)}: make {name}"
        for name in sorted(named)
        if f"\n{name}:" not in makefile
    ]


def missing_commands(page: Path) -> list[str]:
    """Commands a page names that are none."""
    missing = []
    code = "\n".join(_CODE.findall(page.read_text(encoding="utf-8")))
    for name, below in _COMMAND.findall(code):
        command = commands.commands.get(name)
        inner = getattr(command, "commands", None)
        if command is None or (below and inner is not None and below not in inner):
            missing.append(f"{page.relative_to(ROOT)}: agent-assets {name} {below}".rstrip())
    return missing


def main() -> int:
    """Check everything, or write the command reference."""
    if "--write" in sys.argv:
        CLI_PAGE.write_text(cli_reference(), encoding="utf-8")
        return 0
    top = [ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")]
    pages = [*top, *sorted((ROOT / "docs").rglob("*.md"))]
    problems = [problem for page in pages for problem in broken_links(page) + missing_targets(page)]
    problems += [problem for page in pages for problem in missing_commands(page)]
    problems += missing_rooms(ROOT / "README.md")
    if not CLI_PAGE.is_file() or CLI_PAGE.read_text(encoding="utf-8") != cli_reference():
        problems.append("docs/cli.md is out of date: python docs/check.py --write")
    for problem in problems:
        print(problem)
    print(f"docs: {len(pages)} pages, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
