"""The memories of one elder as an MCP server, read-only. Whose memories is decided by the process,
not by a tool.

Run: python -m agent_assets.tool_servers.memory --memories FOLDER [--transport stdio|sse|http]
[--port N] FOLDER is an elder_memories artifact; "-" serves no memories, for a snapshot of the
tools. Over sse and http it wants a token (AGENT_ASSETS_TOOL_TOKEN).
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError

from agent_assets.conversations.memories import (
    MEMORIES_FILE,
    PROFILE_FILE,
    Memory,
    read_memories,
    read_profile,
)
from agent_assets.conversations.messages import canonical_json
from agent_assets.retrieval.index import Hit, MemoryIndex
from agent_assets.retrieval.stored import open_vectors
from agent_assets.text.languages.rules import UNKNOWN_LANGUAGE
from agent_assets.tool_servers.serving import (
    READ_ONLY,
    add_transport_arguments,
    new_server,
    run_server,
)

BEST = 2  # results of a search
MOST = 5  # results of a look-up by years or person
MAX_TEXT = 1000  # characters of one answer in a list; get_memory gives all of it
NO_TOPIC = "other"

_log = logging.getLogger(__name__)


def memory_server(memories: Sequence[Memory], index: MemoryIndex) -> FastMCP[None]:
    """The server with its five tools over `memories`, which `index` finds. What memories say is
    data: it is returned, never acted on.
    """
    by_id = {memory.memory_id: memory for memory in memories}
    server = new_server(
        "memories", "What one elder told, with memory ids. [] means it was never told."
    )

    def search_memories(query: str) -> str:
        """Search the memories by words. [] means never told."""
        return _results(index.search(query, limit=BEST))

    def get_memory(memory_id: str) -> str:
        """One memory by id."""
        if memory_id not in by_id:
            raise ToolError("no memory has this id; search_memories finds ids")
        memory = by_id[memory_id]
        return canonical_json([_result(Hit(memory), max_text=len(memory.answer))])

    def list_topics() -> str:
        """Topics and how many memories each has."""
        topics = Counter(memory.category or NO_TOPIC for memory in memories)
        return canonical_json(
            [{"topic": topic, "count": topics[topic]} for topic in sorted(topics)]
        )

    def find_by_years(start_year: int, end_year: int) -> str:
        """Memories that mention years from start_year to end_year."""
        if end_year < start_year:
            raise ToolError(f"end_year {end_year} is before start_year {start_year}")
        return _results(map(Hit, index.between_years(start_year, end_year)[:MOST]))

    def find_by_person(name: str) -> str:
        """Memories that mention a person."""
        if not name.strip():
            raise ToolError("name is empty")
        return _results(map(Hit, index.about_person(name)[:MOST]))

    for function in (search_memories, get_memory, list_topics, find_by_years, find_by_person):
        server.tool(output_schema=None, annotations=READ_ONLY)(function)
    return server


def open_index(folder: Path) -> tuple[list[Memory], MemoryIndex]:
    """The memories of an elder_memories artifact, and what finds them.

    By meaning where the artifact has vectors of an embedding model that is here; else by words
    alone, which the log says.
    """
    memories, language = read_memories(folder), read_profile(folder).language
    stored = open_vectors(folder)
    if stored.why_not:
        _log.warning("Memories are searched by words alone: %s", stored.why_not)
    return memories, MemoryIndex(memories, language, stored.vectors, stored.embedder)


def _results(hits: Iterable[Hit]) -> str:
    return canonical_json([_result(hit, max_text=MAX_TEXT) for hit in hits])


def _result(hit: Hit, *, max_text: int) -> dict[str, str]:
    memory = hit.memory
    whole = len(memory.answer) <= max_text
    text = memory.answer if whole else _excerpt(memory.answer, hit.start, max_text)
    question = {"q": memory.question} if memory.question else {}
    return {"id": memory.memory_id, **question, "text": text}


def _excerpt(answer: str, start: int, size: int) -> str:
    """A long answer from the passage that was found; as much before it as fits behind its end."""
    start = min(start, len(answer) - size)
    end = "…" if start + size < len(answer) else ""
    return ("…" if start else "") + answer[start : start + size] + end


def main() -> None:
    """Load the folder once and serve until the client goes."""
    parser = argparse.ArgumentParser(description="The memories of one elder as an MCP server.")
    parser.add_argument(
        "--memories", required=True, help='folder with memories.jsonl, or "-" for none'
    )
    add_transport_arguments(parser)
    arguments = parser.parse_args()
    if arguments.memories == "-":
        memories: list[Memory] = []
        index = MemoryIndex(memories, UNKNOWN_LANGUAGE)
    else:
        folder = Path(arguments.memories)
        for name in (MEMORIES_FILE, PROFILE_FILE):
            if not (folder / name).is_file():
                sys.exit(
                    f"error: {folder} has no {name}; give the folder of an elder_memories artifact."
                )
        memories, index = open_index(folder)
    run_server(memory_server(memories, index), arguments, private=True)


if __name__ == "__main__":
    main()
