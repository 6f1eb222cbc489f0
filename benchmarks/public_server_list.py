"""The servers of `public_servers.py`: packages, how they are started, and what a user tells about
their data. None of them needs a network.

They are the official ones that work offline, and of others' those that read or write files, tables,
documents and games. One more was left out because it does not start (networkx-mcp-server 2.0.0).
"""

from dataclasses import dataclass, field
from typing import Any

# What no schema tells, as `wordings.yaml` would: blocks of `parameters`, and of `tools`.
Wordings = dict[str, Any]


@dataclass(frozen=True)
class PublicServer:
    """One server.

    Args:
        name: in figures and folders.
        package: as pip or npm install it, with its version.
        npm: from npm; otherwise from PyPI.
        program: what it installs.
        args: `{data}` is the folder that the benchmark fills for it.
        env: the same.
        with_packages: what it needs besides, and does not ask for itself.
        values: what a user would tell; empty where the schemas say enough.
        reads: tools without annotations that only read, as their descriptions say; a user allows
            them by name.
        quick: measured with --quick, too.
    """

    name: str
    package: str
    program: str
    npm: bool = False
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    with_packages: tuple[str, ...] = ()
    values: Wordings = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    quick: bool = False


_OLD_MCP = ("mcp<2",)  # written for mcp 1, and does not say so
_WORD_FILE = {
    "filename": {"from_tool": {"tool": "list_available_documents", "pattern": r"\S+\.docx"}}
}

SERVERS = [
    PublicServer(
        "time",
        "mcp-server-time==2026.10.19",
        "mcp-server-time",
        args=("--local-timezone", "Asia/Shanghai"),
        quick=True,
    ),
    PublicServer(
        "sqlite",
        "mcp-server-sqlite==2025.4.25",
        "mcp-server-sqlite",
        args=("--db-path", "{data}/shop.db"),
        with_packages=_OLD_MCP,
        values={
            "parameters": {"table_name": {"from_tool": "list_tables"}},
            "tools": {
                "read_query": {
                    "parameters": {
                        "query": {
                            "from_tool": {
                                "tool": "list_tables",
                                "template": "SELECT COUNT(*) FROM {value}",
                            },
                            "values": ["SELECT * FROM price ORDER BY day LIMIT 2"],
                        }
                    }
                }
            },
        },
        reads=("read_query", "list_tables", "describe_table"),
        quick=True,
    ),
    PublicServer(
        "git",
        "mcp-server-git==2026.10.19",
        "mcp-server-git",
        args=("--repository", "{data}/repository"),
        values={
            "parameters": {
                "repo_path": {"values": ["{data}/repository"]},
                "revision": {"values": ["HEAD", "HEAD~1"]},
                "target": {"values": ["HEAD", "HEAD~1"]},
                "branch_type": {"values": ["local", "all"]},
            }
        },
        quick=True,
    ),
    PublicServer(
        "calculator",
        "mcp-server-calculator==0.2.1",
        "mcp-server-calculator",
        values={
            "parameters": {
                "expression": {
                    "values": ["17 * 23", "2 ** 10", "(48 + 15) / 3", "sqrt(1521)", "365 - 128"]
                }
            }
        },
        reads=("calculate",),
        quick=True,
    ),
    PublicServer(
        "duckdb",
        "mcp-server-duckdb==1.1.0",
        "mcp-server-duckdb",
        args=("--db-path", "{data}/shop.duckdb"),
        with_packages=_OLD_MCP,
        values={
            "parameters": {
                "query": {
                    "from_tool": {
                        "tool": "query",
                        "arguments": {"query": "SHOW TABLES"},
                        "pattern": r"'(\w+)'",
                        "template": "SELECT COUNT(*) FROM {value}",
                    }
                }
            }
        },
        reads=("query",),
        quick=True,
    ),
    PublicServer(
        "excel",
        "excel-mcp-server==2.2.2",
        "excel-mcp-server",
        args=("stdio",),
        values={
            "parameters": {
                "path": {
                    "from_tool": {
                        "tool": "list_workbooks",
                        "arguments": {"directory": "{data}"},
                        "pattern": r"[\w./-]+\.xlsx",
                    }
                },
                "sheet": {
                    "from_tool": {"tool": "describe_workbook", "pattern": r'"(Prices|Sums)"'}
                },
                "directory": {"values": ["{data}"]},
                "range": {"values": ["A1:B3", "A2:B2", "B1:B4"]},
                "query": {"values": ["apples", "pears", "day"]},
                "mode": {"values": ["values", "formulas"]},
            }
        },
    ),
    PublicServer(
        "word",
        "office-word-mcp-server==1.1.11",
        "word_mcp_server",
        values={
            "parameters": _WORD_FILE
            | {
                "text_to_find": {"values": ["apples", "letter", "says", "About"]},
                "paragraph_index": {"values": [0, 1]},
            }
        },
    ),
    PublicServer(
        "powerpoint",
        "office-powerpoint-mcp-server==2.0.7",
        "ppt_mcp_server",
        with_packages=_OLD_MCP,
        values={
            "parameters": {
                "template_id": {"from_tool": {"tool": "list_slide_templates", "field": "id"}},
                "file_path": {"values": ["{data}/talk.pptx", "{data}/plan.pptx"]},
            }
        },
        reads=("get_server_info", "list_presentations"),
    ),
    PublicServer("chess", "chess-mcp-server==0.1.17", "chess-mcp-server"),
    PublicServer(
        "filesystem",
        "@modelcontextprotocol/server-filesystem@2026.8.31",
        "mcp-server-filesystem",
        npm=True,
        args=("{data}/files",),
        values={
            "parameters": {
                "path": {
                    "from_tool": {
                        "tool": "list_directory",
                        "arguments": {"path": "{data}/files"},
                        "pattern": r"\[FILE\] (\S+)",
                        "template": "{data}/files/{value}",
                    }
                },
                "paths": {"values": ["{data}/files/notes.txt", "{data}/files/second.txt"]},
                "pattern": {"values": ["*.txt", "n*", "*.md"]},
            },
            "tools": {
                tool: {"parameters": {"path": {"values": ["{data}/files", "{data}/files/letters"]}}}
                for tool in (
                    "list_directory",
                    "list_directory_with_sizes",
                    "directory_tree",
                    "search_files",
                )
            },
        },
    ),
    PublicServer(
        "memory",
        "@modelcontextprotocol/server-memory@2026.8.31",
        "mcp-server-memory",
        npm=True,
        env={"MEMORY_FILE_PATH": "{data}/memory.jsonl"},
        values={
            "parameters": {
                "names": {"from_tool": {"tool": "read_graph", "field": "name"}},
                "query": {"from_tool": {"tool": "read_graph", "field": "entityType"}},
            }
        },
    ),
    PublicServer(
        "everything",
        "@modelcontextprotocol/server-everything@2026.8.31",
        "mcp-server-everything",
        npm=True,
        values={"parameters": {"duration": {"values": [0.1, 0.2]}}},  # seconds; its default is 10
    ),
    PublicServer(
        "sequential-thinking",
        "@modelcontextprotocol/server-sequential-thinking@2026.8.31",
        "mcp-server-sequential-thinking",
        npm=True,
    ),
]
