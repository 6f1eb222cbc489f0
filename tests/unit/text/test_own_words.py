"""Answers state every value of a result, and tell a memory in whole sentences where they can."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_assets.agent.system_prompt import MAX_TRAIT_TOKENS, elder_prompt
from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.errors import ConfigError
from agent_assets.synthesis.arguments.from_memories import remembered_years
from agent_assets.synthesis.wordings import read_templates
from agent_assets.text.answers import says_never_told, states_value
from agent_assets.text.own_words import own_words, result_values, state_result, told_by
from support.qwen_tokenizer import qwen_tokenizer
from support.synthesis_cases import ELDER_WORDINGS


@pytest.mark.parametrize(
    ("observation", "stated"),
    [
        ('{"2025-03-01":4.12,"2025-03-02":4.2}', "2025-03-01 4.12, 2025-03-02 4.2"),
        ('[{"date":"2025-03-01","price":4480.5}]', "2025-03-01 4480.5"),
        (
            '{"2025-03-01":{"Dalian":1,"Ordos":2},"2025-03-02":{"Dalian":3,"Ordos":4}}',
            "2025-03-01: Dalian 1, Ordos 2; 2025-03-02: Dalian 3, Ordos 4",
        ),
        ("2025-04-22", "2025-04-22"),
        ('"09:30"', "09:30"),
        ("[]", ""),
        ("It is sunny.\nAnd warm.", "It is sunny. And warm."),
        ('{"open":true,"at":null}', "open true, at null"),
    ],
)
def test_results_are_stated_compactly(observation: str, stated: str) -> None:
    assert state_result(observation) == stated
    assert all(states_value(value, stated, "en") for value in result_values(observation))


def test_a_long_result_is_cut_between_words() -> None:
    text = state_result('["' + '","'.join(["word"] * 300) + '"]')
    assert len(text) <= 402
    assert text.endswith("word, …")


def test_dates_beside_values_are_not_asked_for_again() -> None:
    assert result_values('[{"date":"2025-03-01","price":4.5}]') == ["4.5"]
    assert result_values("2025-03-01") == ["2025-03-01"]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("I met Mr. Keimer. He hired me. I stayed.", 8, "I met Mr. Keimer. He hired me."),
        ("One two three, four five, six seven eight nine ten.", 6, "One two three, four five"),
        ("a " * 30, 5, "a a a a a"),
        ("我生于苏州。家在沧浪亭边。后来去了扬州。", 7, "我生于苏州。家在沧浪亭边。"),
        ("Short.", 40, "Short."),
        ("字" * 200, 10, "字" * 20),
    ],
)
def test_own_words_end_where_a_sentence_ends(text: str, words: int, expected: str) -> None:
    assert own_words(text, language="en", max_words=words) == expected


def test_words_of_somebody_else_say_so() -> None:
    family = Memory("m", "q", "He loved tea.", relationship="family")
    assert told_by(family, "en") == "My family tells it so: "
    assert told_by(Memory("m", "q", "I love tea."), "en") == ""


def test_a_system_prompt_is_made_from_who_the_elder_is() -> None:
    traits = {"personality": "calm", "life_motto": "Go on. " * 30, "secret": "x"}
    profile = ElderProfile("e", "Ann", "en", traits)
    prompt = elder_prompt(profile)
    assert prompt == elder_prompt(profile)
    assert prompt.startswith("You are Ann. You are calm.")
    assert "x" not in prompt.split()
    assert prompt.count("Go on.") == 30
    assert elder_prompt(ElderProfile("e", "沈复", "zh")).startswith("你是沈复。")
    assert elder_prompt(profile, "Be {name}.") == "Be Ann."
    with pytest.raises(ConfigError, match="memories"):
        elder_prompt(profile, "Be {memories}.")


def test_a_system_prompt_has_all_of_a_role_card_in_whole_clauses() -> None:
    card = {
        "personality": "多情重诺",
        "background": "苏州人，十八岁成亲，一生漂泊，做过幕僚，卖过画，开过酒铺。" * 12,
        "values": "真情",
        "communication_style": "平实。",
        "hobby": "画画",
        "catchphrase": "事如春梦了无痕",
        "life_motto": "凡事独出己见，不随人是非",
    }
    prompt = elder_prompt(ElderProfile("e", "沈复", "zh", card))
    for words in ("性格：多情重诺。", "看重：真情。", "说话方式：平实。", "爱好：画画。"):
        assert words in prompt
    told = prompt.split("经历：")[1].split("。看重")[0]
    assert told in card["background"] and "开过酒铺" in told  # cut, and never inside of a clause
    assert len(told) < len(card["background"]) / 2
    english = {"background": "I was born in Leeds.", "values": "honesty"}
    assert elder_prompt(ElderProfile("e", "Ann", "en", english)).startswith(
        "You are Ann. Your life: I was born in Leeds. You value honesty. Answer"
    )


LONG = {
    "zh": "苏州人，十八岁成亲，一生漂泊，做过幕僚，卖过画，开过酒铺。",
    "en": "He was born in Leeds in 1931, the fourth of seven, and kept bees for 40 years. ",
}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_role_card_takes_no_more_tokens_than_there_is_room_for(language: str) -> None:
    """Counted by the tokenizer of a real model."""

    def tokens(prompt: str) -> int:
        return len(qwen_tokenizer().encode(prompt).ids)

    def prompt_with(**traits: str) -> str:
        return elder_prompt(ElderProfile("e", "Ann", language, traits))

    names = ("personality", "background", "values", "communication_style", "hobby")
    without, short = prompt_with(), prompt_with(**dict.fromkeys(names, "x"))
    full = prompt_with(**dict.fromkeys(names, LONG[language] * 9))
    assert tokens(without) < tokens(full) <= tokens(short) + MAX_TRAIT_TOKENS
    assert full.count(LONG[language][:6]) >= len(names)  # each trait has its share
    alone = prompt_with(background=LONG[language] * 5, values="x")
    assert alone.count(LONG[language].strip(" 。.")) == 5


def test_every_wording_of_never_told_is_recognised_by_evaluation() -> None:
    recall = read_templates(ELDER_WORDINGS).recall
    assert recall is not None
    answers = [
        (answer, language)
        for language, words in recall.never_told.items()
        for answer in words.answers
    ]
    assert len(answers) >= 4
    assert all(says_never_told(answer, language) for answer, language in answers)


_WORDS = re.compile(r"[^\W\u3400-\u9fff]+(?:['’-][^\W\u3400-\u9fff]+)*")


@settings(deadline=None)
@given(st.text(alphabet="ab1_'- .,!\té我", max_size=40), st.integers(5, 12))
def test_words_are_told_whole_exactly_where_they_fit(memory: str, most: int) -> None:
    text = " ".join(memory.split())
    words = text.count("我") / 2 + len(_WORDS.findall(text))
    if words <= most:
        assert own_words(memory, language="en", max_words=most).rstrip(" ,") == text.rstrip(" ,")
    else:
        cut = own_words(memory, language="en", max_words=most)
        assert text.startswith(cut) and cut != text
        assert cut.count("我") / 2 + len(_WORDS.findall(cut)) <= most


def test_a_year_is_four_digits_that_stand_alone() -> None:
    answer = "1776, 12026, 20261, in 1999年 and x2001, 1499, 2100, 1999"
    assert remembered_years([Memory("m-1", "1850?", answer)]) == [1776, 1850, 1999, 2001]
