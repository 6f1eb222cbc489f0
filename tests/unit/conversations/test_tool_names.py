"""Names that MCP allows and model servers do not take: models are given another that is safe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_assets.conversations.tool_names import aliases, is_safe_name


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("get_price", "get_price"),
        ("admin.tools.list", "admin_tools_list"),
        ("read file", "read_file"),
        ("notes/read", "notes_read"),
    ],
)
def test_an_alias_is_readable(name: str, alias: str) -> None:
    assert aliases([name]) == {name: alias}


def test_two_names_never_share_an_alias() -> None:
    named = aliases(["a.b", "a_b", "a/b"])
    assert named["a_b"] == "a_b"
    assert len(set(named.values())) == 3
    # Which others there are decides, not their order.
    assert aliases(["a/b", "a_b", "a.b"]) == named


def test_long_and_foreign_names_end_with_a_hash() -> None:
    long = "x." * 64
    named = aliases([long, "读取", "写入"])
    assert named[long].startswith("x_x_")
    assert named["读取"].startswith("tool_")
    assert named["读取"] != named["写入"]


@given(st.lists(st.text(min_size=1), max_size=8))
def test_every_alias_is_safe(names: list[str]) -> None:
    named = aliases(names)
    assert set(named) == set(names)
    assert all(map(is_safe_name, named.values()))
    assert len(set(named.values())) == len(named)
