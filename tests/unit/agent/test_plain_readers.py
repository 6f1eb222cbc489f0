"""Which unannotated tools are proposed to a person as ones that only read."""

import pytest

from agent_assets.agent.mcp.permissions import plainly_reads


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("search_notes", "Search the notes created last week."),
        ("listFiles", "Lists files."),
        ("getURLInfo", ""),
        ("get-weather", "The weather of a city, updated every hour."),
        ("查询天气", "查询城市的天气"),
    ],
)
def test_plain_readers(name: str, description: str) -> None:
    assert plainly_reads(name, description)


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("purge_all_notes", "Deletes every note for good"),
        ("get_or_create_user", "A user by name."),
        ("query", "Executes any SQL statement."),
        ("get_next", "Removes the next job from the queue and returns it."),
        ("find_and_replace", "Find a text."),
        ("send_mail", "Send a mail."),
        ("add", "Add two numbers."),
        ("notes", "All notes."),
        ("查询", "查询并删除记录"),
    ],
)
def test_no_others(name: str, description: str) -> None:
    assert not plainly_reads(name, description)
