"""Wordings of failures, in English and Chinese: what most servers complain in."""

import re

MAX_COMPLAINT_CHARS = 1500  # a text that is longer is a document, whatever it begins with
MAX_SENTENCE_CHARS, MAX_SENTENCE_LINES = 320, 4

# `No workbook is currently open`: unlike `No open issues`, nothing was looked for.
_LACKS_STATE = (
    r"no [\w ]{1,40}\b(?:is|are|was|has been) (?:currently )?"
    r"(?:loaded|open(?:ed)?|selected|connected|active|configured|initiali[sz]ed|running)\b"
)
# `Error: ...`, `Database error: ...`, `ValueError: ...`, `Error executing tool x: ...`
_BEGINS_AS_ERROR = re.compile(
    r"\W*(?:(?:[\w.]+ ){0,2}error *[:：]|[\w.]*(?:error|exception) *[:：(]"
    r"|error (?:executing|calling|running|reading|writing|opening|loading|parsing|processing|"
    r"getting|listing|creating|fetching|validating|converting|adding|evaluating|searching)\b"
    r"|mcp error -?\d|traceback \(most recent call last\)|\d+ validation errors? for\b"
    r"|(?:错误|出错|操作失败|失败)[:：])",
    re.IGNORECASE,
)
_BEGINS_AS_FAILURE = re.compile(
    r"\W*(?:failed to|failure:|unable to|(?:could|can) ?not|can't|couldn't|invalid"
    r"|missing required|access denied|permission denied|not found|no such|unauthori[sz]ed"
    r"|unknown (?:tool|argument|parameter|option|command|method)|forbidden"
    r"|not (?:supported|allowed|permitted|available|implemented)"
    rf"|{_LACKS_STATE})(?!\w)",
    re.IGNORECASE,
)
# Of one result these are failures where they speak of the call: `Document x.docx does not exist`.
_LACKS = re.compile(
    r"\b(?:(?:does|do|did)(?: not|n't) exist|not (?:be )?found|no such|out of (?:range|bounds)"
    r"|(?:is|are) (?:invalid|not (?:an? )?(?:valid|supported|allowed|recogni[sz]ed|defined))"
    r"|(?:could|can)(?: not|n't|not|'t) (?:be )?(?:find|found|open|read|load|parse|access)(?:ed)?"
    r"|access denied|permission denied|already exists)\b"
    r"|不存在|找不到|未找到|无法(?:打开|读取|访问|解析)",
    re.IGNORECASE,
)
_DEMANDS = re.compile(
    r"(\w+)\W? (?:parameter |argument |field )?(?:is required|is missing|must (?:not )?be)\b"
    r"|(\w+)\W?(?:参数)?(?:是必填|不能为空|必须)",
    re.IGNORECASE,
)
# Of many results that are equal, or of a tool that fails at all else, these are, too.
_NEGATIVE = re.compile(
    r"\b(?:not|cannot|\w+n't|fail(?:s|ed|ure)?|errors?|invalid|missing|unable|unknown|denied"
    r"|unsupported|required?|must|refused|wrong|expected|please|needs?)\b|不|无|未|失败|错误|请",
    re.IGNORECASE,
)
_FOUND_NOTHING = re.compile(
    rf"\W*(?!{_LACKS_STATE})(?:(?:no(?! such\b)|none|nothing|zero|0|empty|there (?:is|are) no"
    r"|(?:i )?found no(?:thing)?)\b|没有|暂无|无结果)",
    re.IGNORECASE,
)
_LOG_LINE = re.compile(
    r"\W*(?:[\d:.,TZ/ +-]+ )?\W*(?:trace|debug|info|warn(?:ing)?|error|fatal)\b", re.IGNORECASE
)


def begins_as_error(text: str) -> bool:
    """Whether a text begins as errors of programs do, and is short enough to be no document."""
    return len(text) <= MAX_COMPLAINT_CHARS and _BEGINS_AS_ERROR.match(text) is not None


def begins_as_failure(text: str) -> bool:
    """Whether a short text begins as complaints do: `Failed to open ...`."""
    return is_short(text) and _BEGINS_AS_FAILURE.match(text) is not None


def says_it_lacks(text: str) -> bool:
    """Whether a short text says that something is not there, or not as it should be."""
    return is_short(text) and not found_nothing(text) and _LACKS.search(text) is not None


def demanded(text: str) -> list[str]:
    """What a short text says is required or has to be otherwise: names of parameters, or things."""
    if not is_short(text):
        return []
    return [word for groups in _DEMANDS.findall(text) for word in groups if word]


def has_negative_word(text: str) -> bool:
    """Whether a short text has words of failure: too little to judge one result by."""
    return is_short(text) and not found_nothing(text) and _NEGATIVE.search(text) is not None


def found_nothing(text: str) -> bool:
    """Whether a text says that there is nothing, as a search does that worked: `No open issues`."""
    return _FOUND_NOTHING.match(text) is not None


def is_short(text: str) -> bool:
    """Whether a text is a sentence or two."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(text) <= MAX_SENTENCE_CHARS and len(lines) <= MAX_SENTENCE_LINES


def is_log(text: str) -> bool:
    """Whether lines have levels: what a log says is not what its reader did."""
    return sum(_LOG_LINE.match(line) is not None for line in text.splitlines()) > 1
