"""A language without rules is read by the boundaries of Unicode, and what is unknown of it stays
unknown.
"""

import pytest

from agent_assets.text.answers import dates_in, recall_share, says_never_told, states_value
from agent_assets.text.grounding import Evidence, contradictions, not_grounded
from agent_assets.text.languages.rules import known_languages, rules_for
from agent_assets.text.own_words import own_words

FRENCH = (
    "M. Dupont m'a élevé à Lyon. J'avais sept ans. Il vendait du pain, du sel, et des bougies !"
)
ARABIC = "ولدت عام ١٩٣١ في القاهرة. هل كان أبي نجارًا؟ نعم، وكان يحب الشاي."
THAI = "ผมเกิดที่กรุงเทพ พ่อเป็นครู แม่ขายข้าวที่ตลาด"
JAPANESE = "私は1931年に東京で生まれました。父は大工でした。母はお茶が好きでした。"
RUSSIAN = "Я родился в Казани в 1931 году. Отец был плотником? Да, и пел по утрам!"
CODES = {"fr": FRENCH, "ar": ARABIC, "th": THAI, "ja": JAPANESE, "ru": RUSSIAN}


@pytest.mark.parametrize(
    ("code", "sentences"),
    [
        (
            "fr",
            [
                "M. Dupont m'a élevé à Lyon.",
                "J'avais sept ans.",
                "Il vendait du pain, du sel, et des bougies !",
            ],
        ),
        ("ar", ["ولدت عام ١٩٣١ في القاهرة.", "هل كان أبي نجارًا؟", "نعم، وكان يحب الشاي."]),
        ("th", [THAI]),  # Thai has no sign that ends a sentence
        ("ja", ["私は1931年に東京で生まれました。", "父は大工でした。", "母はお茶が好きでした。"]),
        ("ru", ["Я родился в Казани в 1931 году.", "Отец был плотником?", "Да, и пел по утрам!"]),
    ],
)
def test_sentences_end_where_unicode_says_so(code: str, sentences: list[str]) -> None:
    assert code not in known_languages()
    assert rules_for(code).sentences(CODES[code]) == sentences


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        ("fr", "aujourd'hui l'été 😀 est là", 4),
        ("ar", "كان أبي نجارًا؟", 3),
        ("th", "พ่อเป็นครู", 3),
        ("ja", "父は大工でした。", 5),
        ("ru", "Да, и пел.", 3),
    ],
)
def test_words_are_counted_in_scripts_without_spaces_too(code: str, text: str, words: int) -> None:
    assert rules_for(code).length(text) == words


@pytest.mark.parametrize(
    ("code", "most", "expected"),
    [
        ("fr", 7, "M. Dupont m'a élevé à Lyon."),
        ("fr", 10, "M. Dupont m'a élevé à Lyon. J'avais sept ans."),
        ("ar", 6, "ولدت عام ١٩٣١ في القاهرة."),
        ("th", 8, "ผมเกิดที่กรุงเทพ พ่อเป็นครู"),
        ("th", 1, "ผม"),
        ("ja", 12, "私は1931年に東京で生まれました。"),
        ("ru", 8, "Я родился в Казани в 1931 году."),
    ],
)
def test_own_words_are_cut_where_a_sentence_a_clause_or_a_word_ends(
    code: str, most: int, expected: str
) -> None:
    assert own_words(CODES[code], language=code, max_words=most) == expected


@pytest.mark.parametrize(
    ("code", "value", "answer"),
    [
        ("fr", "1234.5", "Cela coûtait 1 234,5 francs."),
        ("fr", "1234.5", "Cela coûtait 1.234,5 francs."),
        ("de", "-3.5", "Es waren -3,5 Grad."),
        ("ar", "1931", "ولدت عام ١٩٣١"),
        ("ar", "12.5", "كان السعر ١٢٫٥"),
        ("fa", "4.12", "قیمت ۴٫۱۲ بود"),
        ("th", "25", "ราคา ๒๕ บาท"),
        ("ja", "1931", "１９３１年です"),
        ("ja", "2025-03-05", "2025年3月5日です"),
        ("ru", "2025-03-05", "Это было 2025-03-05."),
        ("ru", "Казань", "Это была Казань."),
    ],
)
def test_values_count_in_the_digits_and_signs_of_the_language(
    code: str, value: str, answer: str
) -> None:
    assert states_value(value, answer, code)


@pytest.mark.parametrize(
    ("code", "value", "answer"),
    [("fr", "1234.5", "1 234,6"), ("fr", "5", "3,5"), ("ar", "1931", "١٩٣٢"), ("en", "3.5", "3,5")],
)
def test_other_values_do_not_count(code: str, value: str, answer: str) -> None:
    assert not states_value(value, answer, code)


@pytest.mark.parametrize("code", CODES)
def test_a_memory_that_is_told_is_recalled_and_another_is_not(code: str) -> None:
    assert recall_share(CODES[code], "", CODES[code], code) == 1.0
    other = "ja" if code != "ja" else "ru"
    assert recall_share(CODES[code], "", CODES[other], code) < 0.2
    assert not_grounded(CODES[code], Evidence([CODES[code]]), code) == []


def test_an_invented_number_is_found_in_every_notation() -> None:
    results = ['{"Lyon":3.5,"Paris":1234.5}']
    assert not_grounded("À Lyon 3,5, à Paris 1 234,5.", Evidence(results), "fr") == []
    assert not_grounded("À Lyon 3,6.", Evidence(results), "fr") == ["1 numbers stand in no result"]
    assert not_grounded("في القاهرة ٧", Evidence(results), "ar") == ["1 numbers stand in no result"]
    assert contradictions("À Lyon 3,5.", Evidence(results), "fr", may_deny=False) == []
    assert contradictions("À Paris 3,5.", Evidence(results), "fr", may_deny=False) == [
        "1 values of another key"
    ]


@pytest.mark.parametrize("code", [*CODES, "und"])
def test_whether_something_was_never_told_is_unknown_and_not_denied(code: str) -> None:
    assert says_never_told("Je ne l'ai jamais raconté.", code) is None
    assert says_never_told("I never told that.", code) is None
    assert (
        contradictions("I never told that.", Evidence(['["something"]']), code, may_deny=False)
        == []
    )


def test_months_of_an_unknown_language_are_no_dates() -> None:
    assert dates_in("le 3 mai 2025", "fr") == set()
    assert dates_in("May 3, 2025", "en") == {"2025-05-03"}


def test_what_is_said_says_which_language_it_is_in() -> None:
    assert rules_for("fr").phrases.language == "en"
    assert rules_for("zh").phrases.language == "zh"
