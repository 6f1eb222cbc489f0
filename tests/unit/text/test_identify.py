"""The language of an elder is told from script and stop words; where they do not tell, it is
undetermined.
"""

import pytest

from agent_assets.conversations.memories import Memory
from agent_assets.demo.sample_elders import load_sample_elders
from agent_assets.mongo.answers import make_profile
from agent_assets.mongo.layout import ProfilesLayout
from agent_assets.text.identify import choose_language, identify_language

LAYOUT = ProfilesLayout(collection="people", id="_id", name="name", language="language")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("My father made candles and soap in a shop in Milk Street.", "en"),
        (
            "Mon pere vendait du pain et des bougies dans une petite boutique de la rue du Lait.",
            "und",
        ),
        (
            "Mein Vater hat in einem kleinen Laden in der Milchstraße Kerzen und Seife gemacht.",
            "und",
        ),
        (
            "Mijn vader was in een winkel in de Melkstraat bezig met kaarsen en zeep maken voor "
            "ons.",
            "und",
        ),
        ("我父亲在 Milk Street 做蜡烛。", "zh"),
        ("My teacher was called 沈复, and he was the best one I ever had.", "en"),
        ("父は東京の小さな店でろうそくを作っていました。", "ja"),
        ("아버지는 작은 가게에서 양초를 만드셨다.", "ko"),
        ("พ่อของผมทำเทียนในร้านเล็กๆ", "th"),
        ("Мой отец делал свечи в маленькой лавке.", "und"),
        ("كان أبي يصنع الشموع في دكان صغير.", "und"),
        ("Chess.", "en"),
        ("Les échecs.", "und"),
    ],
)
def test_the_language_of_answers(text: str, code: str) -> None:
    assert identify_language([text]) == code


def test_short_answers_are_told_by_their_questions() -> None:
    assert identify_language(["Café."], ["What did you like to drink when you were old?"]) == "en"
    assert (
        identify_language(
            ["Les pommes."], ["Qu'est-ce que vous aimiez manger quand vous etiez petit ?"]
        )
        == "und"
    )


@pytest.mark.parametrize("elder", load_sample_elders(), ids=lambda elder: elder.profile.elder_id)
def test_the_sample_elders_are_known_by_any_of_their_memories_in_running_text(elder) -> None:  # type: ignore[no-untyped-def]
    for first in range(len(elder.memories) - 3):
        few = elder.memories[first : first + 3]
        assert (
            identify_language((m.answer for m in few), (m.question for m in few))
            == elder.profile.language
        )


@pytest.mark.parametrize(
    ("stated", "code", "name", "skipped"),
    [
        ("fr-CA", "fr", "Elder", {}),
        ("ZH_hant", "zh", "长辈", {}),
        ("English", "en", "Elder", {}),
        (
            "Français",
            "und",
            "Elder",
            {"language": 1},
        ),  # a name that nothing knows: counted, and told from the answers
        (None, "und", "Elder", {}),
    ],
)
def test_a_stated_language_is_taken_and_one_that_is_not_understood_is_counted(
    stated: str | None, code: str, name: str, skipped: dict[str, int]
) -> None:
    answers = [
        Memory("m", "Où ?", "Mon père vendait du pain et des bougies dans une boutique à Lyon.")
    ]
    profile, counts = make_profile(
        "e", {} if stated is None else {"language": stated}, LAYOUT, answers
    )
    assert (profile.language, profile.name, dict(counts)) == (code, name, skipped)


@pytest.mark.parametrize(
    ("text", "among", "code"),
    [
        ("Where were you born?", ["en", "zh"], "en"),
        ("您生在哪里？", ["en", "zh"], "zh"),
        ("您生在哪里？", ["en"], None),
        ("どこで生まれましたか。", ["zh", "ja"], "ja"),
        ("Where did you have your café?", ["fr", "en"], "en"),
    ],
)
def test_a_question_is_in_one_of_the_languages_of_the_pipeline(
    text: str, among: list[str], code: str | None
) -> None:
    assert choose_language(text, among) == code
