"""The sample market: the same question has the same answer, and a bad one says what is wrong."""

from datetime import date

import pytest

from agent_assets.tool_servers.energy_prices import FACTORIES, check_names, days_between, price


def test_prices_are_fixed_once_and_for_all() -> None:
    """Rows and reports made yesterday must still be right tomorrow."""
    assert price("auction", "Sichuan", date(2025, 4, 1), middle=2.35) == 2.49
    assert price("lng", "North China", date(2025, 1, 15), middle=4550.0) == 4981.1


def test_prices_differ_by_kind_place_and_day_and_stay_in_their_band() -> None:
    days = days_between("2025-03-01", "2025-03-31")
    table = {
        (place, day): price("factory", place, day, middle=4000.0)
        for place in FACTORIES
        for day in days
    }
    assert len(set(table.values())) > 0.9 * len(table)
    assert all(
        0.88 * 4000 <= value <= 1.12 * 4000 and value == round(value, 2) for value in table.values()
    )
    assert price("lng", "Dazhou", days[0], middle=4000.0) != price(
        "factory", "Dazhou", days[0], middle=4000.0
    )


def test_a_range_has_both_ends() -> None:
    assert days_between("2024-02-28", "2024-03-01") == [
        date(2024, 2, 28),
        date(2024, 2, 29),
        date(2024, 3, 1),
    ]
    assert len(days_between("2025-03-01", "2025-03-31")) == 31


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2025-04-31", "2025-05-01", "start_date '2025-04-31' is not a date"),
        ("2025-04-01", "tomorrow", "end_date 'tomorrow' is not a date"),
        ("20250401", "2025-04-02", "write YYYY-MM-DD"),
        ("2025-04-01 ", "2025-04-02", "is not a date"),
        ("2025-04-02", "2025-04-01", "end_date 2025-04-01 is before start_date 2025-04-02"),
        ("2025-03-01", "2025-04-01", "is 32 days; at most 31"),
    ],
)
def test_bad_dates_say_why(start: str, end: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"date|allowed") as raised:
        days_between(start, end)
    assert says in str(raised.value)


def test_unknown_names_say_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="unknown factory_names 'Mars'; allowed: Dazhou, Ordos"):
        check_names("factory_names", ["Dazhou", "Mars"], ["Dazhou", "Ordos"])
    with pytest.raises(ValueError, match="factory_names is empty; allowed: Dazhou"):
        check_names("factory_names", [], ["Dazhou"])
