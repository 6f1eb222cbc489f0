"""An MCP server that answers only about documents that there are, and says so as an answer.

Run: python documents_server.py
"""

from typing import Any

from fastmcp import FastMCP
from mcp.types import ToolAnnotations

DOCUMENTS = {
    "autumn": {
        "harvest.docx": "Apples, 40 crates",
        "cellar.docx": "Cider, 12 barrels",
        "loft.docx": "Pears, 7 crates",
    },
    "winter": {
        "stove.docx": "Oak, 3 cords",
        "snow.docx": "Shovels, 2 of steel",
        "mail.docx": "Letters, 19 in all",
        "yard.docx": "Geese, 5 white ones",
    },
}

server: FastMCP[None] = FastMCP("documents")
READ_ONLY = ToolAnnotations(read_only_hint=True)


@server.tool(annotations=READ_ONLY)
def list_shelves() -> str:
    """List the shelves."""
    return "Shelves:\n" + "\n".join(
        f"- {shelf} ({len(documents)} documents)" for shelf, documents in DOCUMENTS.items()
    )


@server.tool(annotations=READ_ONLY)
def list_documents(shelf: str) -> list[dict[str, Any]]:
    """List the documents of a shelf."""
    return [{"name": name, "bytes": len(text)} for name, text in DOCUMENTS.get(shelf, {}).items()]


@server.tool(annotations=READ_ONLY)
def read_document(document: str) -> str:
    """Read a document."""
    for documents in DOCUMENTS.values():
        if document in documents:
            return documents[document]
    return f"Document {document} does not exist"


@server.tool(annotations=READ_ONLY)
def count_words(document: str) -> dict[str, Any]:
    """Count the words of a document."""
    text = read_document(document)
    if text.startswith("Document"):
        return {"success": False, "message": text}
    return {"success": True, "words": len(text.split())}


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def empty_shelf(shelf: str) -> list[str]:
    """Delete all documents of a shelf."""
    return [shelf]


if __name__ == "__main__":
    server.run("stdio", show_banner=False, log_level="WARNING")
