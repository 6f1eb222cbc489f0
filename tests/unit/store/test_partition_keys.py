"""Every elder's id has a key that names a folder, and the key gives the id back."""

import pytest
from dagster._core.definitions.partitions.utils.base import INVALID_PARTITION_SUBSTRINGS
from hypothesis import given
from hypothesis import strategies as st

from agent_assets.store.partition_keys import (
    MAX_KEY_CHARS,
    as_partition_key,
    elder_id_of_key,
    partition_key,
)


@pytest.mark.parametrize("elder", ["shen-fu", "a.b_C-9", "x" * 64, "65f0c1e2a3b4c5d6e7f80910", "-"])
def test_plain_ids_are_their_own_keys(elder: str) -> None:
    assert partition_key(elder) == elder == elder_id_of_key(elder) == as_partition_key(elder)


@pytest.mark.parametrize(
    ("elder", "key"),
    [
        ("ann@example.org", "ann~40example.org"),
        ("王奶奶", "~E7~8E~8B~E5~A5~B6~E5~A5~B6"),
        ("a b", "a~20b"),
        ("..", "~2E~2E"),
        ("_", "~5F"),
        ("a...b", "a~2E~2E~2Eb"),
        ("~x", "~7Ex"),
        ("", None),
        ("\udcff", None),
        ("王" * 70, None),
    ],
)
def test_other_ids_are_written_so_that_they_can_be_read_back(elder: str, key: str | None) -> None:
    assert partition_key(elder) == key
    assert as_partition_key(elder) == (key or elder)
    if key is not None:
        assert elder_id_of_key(key) == elder and as_partition_key(key) == key


@given(st.text(max_size=30))
def test_no_two_ids_share_a_key_and_every_key_can_be_a_partition(elder: str) -> None:
    key = partition_key(elder)
    if key is None:
        return
    assert elder_id_of_key(key) == elder
    assert 0 < len(key) <= MAX_KEY_CHARS and key not in (".", "..", "_") and "/" not in key
    assert not any(part in key for part in INVALID_PARTITION_SUBSTRINGS)


@pytest.mark.parametrize(
    "text", ["a~b", "a~4", "~~", "a~7e", "a%40", "a~61", "~FF", "..", "", "a/b"]
)
def test_a_text_that_no_id_is_written_as_is_no_key(text: str) -> None:
    assert elder_id_of_key(text) is None
