"""Something to work on for the servers of `public_server_list.py`: installs them, and fills a
folder for each.
"""

import json
import sqlite3
import subprocess
import venv
from pathlib import Path
from typing import Any

from public_server_list import PublicServer

from agent_assets.agent.mcp.config import ServerConfig

# Made with the libraries of the servers themselves.
_MADE_BY_THEIR_LIBRARIES = {
    "duckdb": """
import duckdb, sys
with duckdb.connect(sys.argv[1] + "/shop.duckdb") as db:
    for number, table in enumerate(["price", "stock", "customer", "invoice", "supplier"], 3):
        db.execute(f"CREATE TABLE {table} AS SELECT range AS id FROM range({number})")
""",
    "excel": """
import openpyxl, sys
for number, name in enumerate(["harvest", "orders", "rent"], 1):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices"
    for row in [["day", "apples"], ["2025-04-01", 3 * number], ["2025-04-02", 4], ["pears", 5]]:
        sheet.append(row)
    sums = book.create_sheet("Sums")
    sums["A1"], sums["B1"] = "total", "=SUM(Prices!B2:B4)"
    book.save(f"{sys.argv[1]}/{name}.xlsx")
""",
    "powerpoint": """
import pptx, sys
for name in ("talk", "plan"):
    slides = pptx.Presentation()
    slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = f"The {name}"
    slides.save(f"{sys.argv[1]}/{name}.pptx")
""",
    "word": """
import docx, sys
for name in ("harvest", "letter", "minutes"):
    document = docx.Document()
    document.add_heading(f"About the {name}", 1)
    document.add_paragraph(f"This is what the {name} says about apples.")
    document.add_table(2, 2)
    document.save(f"{sys.argv[1]}/{name}.docx")
""",
}


def install(server: PublicServer, folder: Path) -> Path:
    """The server's program, installed into a folder of its own. Where it is there already, nothing
    is done.
    """
    home = folder / "programs" / server.name
    if server.npm:
        program = home / "node_modules" / ".bin" / server.program
        if not program.exists():
            quiet = ["--silent", "--no-fund", "--no-audit"]
            _run(["npm", "install", *quiet, "--prefix", str(home), server.package])
        return program
    program = home / "bin" / server.program
    if not program.exists():  # each with the libraries it was written for
        venv.create(home, with_pip=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q"]
        _run([*pip, server.package, *server.with_packages])
    return program


def prepare(server: PublicServer, folder: Path) -> Path:
    """A fresh folder of data for a server."""
    data = folder / "data"
    data.mkdir(parents=True)
    match server.name:
        case "sqlite":
            _sqlite(data / "shop.db")
        case "git":
            _repository(data / "repository")
        case "filesystem":
            _files(data / "files")
        case "memory":
            _memory(data / "memory.jsonl")
    return data


def prepare_by_library(server: PublicServer, program: Path, data: Path) -> None:
    """What only the server's own libraries write: its documents, books and databases."""
    script = _MADE_BY_THEIR_LIBRARIES.get(server.name)
    if script is not None:
        _run([str(program.with_name("python")), "-c", script, str(data)])


def started(server: PublicServer, program: Path, data: Path) -> ServerConfig:
    """How the server is started over its data."""
    return ServerConfig(
        command=str(program),
        args=[_placed(text, data) for text in server.args],
        env={name: _placed(text, data) for name, text in server.env.items()},
        cwd=str(data),
    )


def wordings(server: PublicServer, data: Path, path: Path) -> Path | None:
    """The wordings file of a server, None where its schemas say enough."""
    if not server.values:
        return None
    path.write_text(_placed(json.dumps(server.values), data), encoding="utf-8")  # JSON is YAML
    return path


def _placed(text: str, data: Path) -> str:
    return text.replace("{data}", str(data))


def _sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        for number, table in enumerate(("price", "stock", "customer", "invoice"), 1):
            connection.execute(f"CREATE TABLE {table} (day TEXT, value REAL)")
            connection.executemany(
                f"INSERT INTO {table} VALUES ('2025-04-01', ?)",
                [(value,) for value in range(number)],
            )


def _repository(folder: Path) -> None:
    folder.mkdir()
    author = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    _run(["git", "init", "-q", str(folder)])
    for name in ("first", "second"):
        (folder / f"{name}.txt").write_text(f"{name}\n", encoding="utf-8")
        _run(["git", "-C", str(folder), "add", "."])
        _run(["git", "-C", str(folder), *author, "commit", "-q", "-m", name])


def _files(folder: Path) -> None:
    (folder / "letters").mkdir(parents=True)
    texts = {"notes.txt": "first line\nsecond line\n", "second.txt": "third line\n"}
    # A document about failures is a good answer.
    texts["faults.md"] = "# Faults\n\nThe pump failed to start: its valve was not found open.\n"
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "letters" / "june.txt").write_text("Dear all\n", encoding="utf-8")


def _memory(path: Path) -> None:
    entities: list[dict[str, Any]] = [
        {"name": name, "entityType": kind, "observations": [f"{name} is a {kind}"]}
        for name, kind in (("Ada", "person"), ("Bern", "city"), ("Cora", "ship"), ("Dune", "book"))
    ]
    lines = [json.dumps({"type": "entity", **entity}) for entity in entities]
    lines.append(
        json.dumps({"type": "relation", "from": "Ada", "to": "Bern", "relationType": "lives in"})
    )
    path.write_text("\n".join(lines), encoding="utf-8")


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
