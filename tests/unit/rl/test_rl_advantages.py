"""Advantages, and the sequences a trainer gets."""

from typing import Any

import pytest
from openai.types.chat.chat_completion import Choice

from agent_assets.errors import EngineFailed
from agent_assets.rl.advantages import advantages, sequences, turn_advantages


def choice(prompt: list[int], output: list[int]) -> Choice:
    content = [
        {"token": str(token), "logprob": -0.1 * token, "top_logprobs": []} for token in output
    ]
    fields: dict[str, Any] = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "x"},
        "logprobs": {"content": content},
        "prompt_token_ids": prompt,
        "token_ids": output,
    }
    return Choice.model_validate(fields)


def test_advantages_are_relative_to_the_group() -> None:
    assert advantages([1.0, 0.0, 0.0, 1.0], "dr_grpo") == [0.5, -0.5, -0.5, 0.5]
    assert advantages([0.2, 0.0], "grpo") == pytest.approx([1.0, -1.0])
    assert advantages([0.3, 0.3, 0.3], "grpo") == [0.0, 0.0, 0.0]


def test_a_turn_is_compared_with_those_that_came_to_the_same_point() -> None:
    """Three open with the same call, one with another; of the three, one answers worse, and one is
    left alone there.
    """
    first = [choice([1, 2], [call]) for call in (3, 3, 3, 4)]
    rollouts = [
        [first[0], choice([1, 2, 3, 9], [5])],
        [first[1], choice([1, 2, 3, 9], [6])],
        [first[2], choice([1, 2, 3, 8], [5])],  # the tool said something else
        [first[3], choice([1, 2, 4, 9], [5])],
    ]
    per_turn = turn_advantages(rollouts, [1.0, 0.8, 0.2, 0.0], "dr_grpo")
    assert [first for first, _ in per_turn] == pytest.approx([0.5, 0.3, -0.3, -0.5])
    assert [two for _, two in per_turn] == pytest.approx([0.1, -0.1, 0.0, 0.0])


def test_a_turn_that_continues_the_one_before_shares_its_tokens() -> None:
    (sequence,) = sequences([choice([1, 2], [3, 4]), choice([1, 2, 3, 4, 9, 9], [5])], [0.5, -0.1])
    assert sequence.ids == [1, 2, 3, 4, 9, 9, 5]
    assert sequence.spans == [[2, 4], [6, 7]] and sequence.advantages == [0.5, -0.1]
    assert sequence.logprobs == pytest.approx([-0.3, -0.4, -0.5])
    assert sequence.rollout_tokens == 3


def test_turns_that_teach_nothing_are_left_out_unless_a_kl_term_wants_them() -> None:
    turns = [choice([1, 2], [3, 4]), choice([1, 2, 3, 4, 9, 9], [5])]
    (sequence,) = sequences(turns, [0.5, 0.0])
    assert (sequence.ids, sequence.spans, sequence.rollout_tokens) == ([1, 2, 3, 4], [[2, 4]], 3)
    (two,) = sequences(turns, [0.0, 0.5])
    assert (two.ids, two.spans, two.logprobs) == ([1, 2, 3, 4, 9, 9, 5], [[6, 7]], [-0.5])
    assert sequences(turns, [0.0, 0.0]) == []
    (sequence,) = sequences(turns, [0.0, 0.0], keep_all=True)
    assert sequence.spans == [[2, 4], [6, 7]]


def test_a_turn_rendered_anew_is_a_sequence_of_its_own() -> None:
    first, second = sequences([choice([1, 2], [3, 4]), choice([1, 2, 3, 8], [5])], [-1.0, -1.0])
    assert (first.spans, second.spans) == ([[2, 4]], [[4, 5]])
    assert {first.rollout_tokens, second.rollout_tokens} == {3}


def test_a_server_without_token_ids_is_refused() -> None:
    bare = Choice.model_validate(
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}
    )
    with pytest.raises(EngineFailed, match="no token ids"):
        sequences([bare], [1.0])
