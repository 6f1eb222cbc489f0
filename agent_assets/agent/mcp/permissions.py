"""Which tools may be called: those that only read, as their server or the configuration says, and
those the configuration names.

MCP says that a tool without annotations may change or destroy things. Nobody watches while rows are
made, models are evaluated or trained, so nothing is called there that might.
"""

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mcp_types import ToolAnnotations

# What names of tools that read begin with.
_READS = re.compile(
    r"(?:browse|calculate|check|compare|compute|convert|count|describe|detect|diff|estimate|explain"
    r"|fetch|find|forecast|get|has|head|inspect|is|list|lookup|measure|peek|preview|query|read"
    r"|resolve|retrieve|search|select|show|stats?|summarize|tail|validate|view"
    r"|查询|查找|搜索|获取|读取|查看|列出|计算)"
)
# What changes things wherever it stands in a name or a description, in every form of the verb but
# the past: "notes created last week" are only read.
_CHANGES = re.compile(
    r"\b(?:add|append|cancel|chang|clear|creat|delet|destroy|disabl|drop|enabl|eras|execut|insert"
    r"|install|invit|kill|modif|mov|overwrit|pay|publish|purchas|purg|remov|renam|replac|reset"
    r"|restart|revok|sav|send|submit|terminat|transfer|trigger|truncat|unlock|unsubscrib|updat"
    r"|upload|upsert|wip|writ)(?:e|es|s|ing|ting|ping|y|ies|ying)?\b"
    r"|删除|清空|创建|新建|添加|修改|更新|发送|写入|保存|移动|执行|上传|取消|支付",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[\u4e00-\u9fff]{2}")

SILENT = "its server does not say that it only reads"
WRITES = "its server says that it changes things"


@dataclass(frozen=True)
class ToolPermissions:
    """Which tools may be called. Tools are named as their server or as models call them, or as
    `server/name`.

    Args:
        read_only: they only read, although their server does not say so.
        changing: they may be called although they may change things; `all`: every tool.
    """

    read_only: frozenset[str] = field(default=frozenset())
    changing: frozenset[str] | Literal["all"] = field(default=frozenset())

    def reads_only(self, names: Set[str], annotations: "ToolAnnotations | None") -> bool:
        """Whether a tool only reads, as its server or the configuration says."""
        hinted = annotations is not None and annotations.read_only_hint is True
        return hinted or not names.isdisjoint(self.read_only)

    def reason(self, names: Set[str], annotations: "ToolAnnotations | None") -> str | None:
        """Why a tool of these names may not be called; None where it may."""
        if self.changing == "all" or not names.isdisjoint(self.changing):
            return None
        if self.reads_only(names, annotations):
            return None
        return WRITES if says_it_writes(annotations) else SILENT

    def names(self, names: Set[str]) -> bool:
        """Whether the configuration names a tool as one that may change things."""
        return self.changing != "all" and not names.isdisjoint(self.changing)


ANY_CALL = ToolPermissions(changing="all")


def says_it_writes(annotations: "ToolAnnotations | None") -> bool:
    """Whether a server says of a tool that it changes things, rather than nothing."""
    if annotations is None or annotations.read_only_hint is True:
        return False
    return annotations.read_only_hint is False or annotations.destructive_hint is True


def plainly_reads(name: str, description: str) -> bool:
    """Whether name and description leave no doubt that a tool only reads: good enough to propose
    it to a person, not to call it.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or _READS.fullmatch(words[0]) is None:
        return False
    return _CHANGES.search(" ".join(words)) is None and _CHANGES.search(description) is None


def line_to_allow(names: Iterable[str]) -> str:
    """The line of defs.yaml that says of tools that they only read; with dots where there is none
    to name.
    """
    return f"tools: {{read_only: [{', '.join(sorted(names)) or '...'}]}}"
