"""A made-up energy market: prices keyed by a hash of what they are the price of, so asking twice
answers alike.
"""

import math
from collections.abc import Sequence
from datetime import date, timedelta
from hashlib import blake2b

SEED = 20250422
MAX_DAYS = 31

# Middle of each price band, in the units of the Chinese market: auctions in yuan per cubic metre,
# LNG in yuan per ton.
PROVINCES = {
    "Sichuan": 2.35,
    "Chongqing": 2.48,
    "Anhui": 2.82,
    "Jiangsu": 2.95,
    "Zhejiang": 3.08,
    "Shandong": 2.88,
    "Fujian": 3.15,
    "Guangdong": 3.22,
}
FACTORIES = {
    "Dazhou": 4480.0,
    "Ordos": 4310.0,
    "Yulin": 4360.0,
    "Tangshan": 4620.0,
    "Qingdao": 4690.0,
    "Dalian": 4720.0,
    "Zhoushan": 4860.0,
    "Beihai": 4790.0,
}
REGIONS = {
    "North China": 4550.0,
    "East China": 4780.0,
    "South China": 4850.0,
    "Central China": 4640.0,
    "Northwest China": 4280.0,
    "Southwest China": 4430.0,
}


def days_between(start_date: str, end_date: str) -> list[date]:
    """The days from `start_date` to `end_date`, both included (at most 31).

    Raises:
        ValueError: a date is not YYYY-MM-DD, the end lies before the start, or the range is too
            long.
    """
    start, end = _parse("start_date", start_date), _parse("end_date", end_date)
    if end < start:
        raise ValueError(f"end_date {end} is before start_date {start}")
    count = (end - start).days + 1
    if count > MAX_DAYS:
        raise ValueError(f"{start} to {end} is {count} days; at most {MAX_DAYS} are allowed")
    return [start + timedelta(days=offset) for offset in range(count)]


def check_names(argument: str, names: Sequence[str], allowed: Sequence[str]) -> None:
    """Refuse names that the market does not have.

    Raises:
        ValueError: says which argument, which name, and what is allowed.
    """
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
        wrong = (
            f"unknown {argument} {', '.join(repr(name[:40]) for name in unknown)}"
            if unknown
            else f"{argument} is empty"
        )
        raise ValueError(f"{wrong}; allowed: {', '.join(allowed)}")


def price(kind: str, place: str, day: date, *, middle: float) -> float:
    """Price on one day, two decimals: up to 6% of season (dearest in mid January) and 5% of noise
    around `middle`.
    """
    season = math.cos(2 * math.pi * (day.timetuple().tm_yday - 15) / 365.25)
    digest = blake2b(f"{SEED}|{kind}|{place}|{day.isoformat()}".encode(), digest_size=8).digest()
    noise = int.from_bytes(digest, "big") / 2**63 - 1
    return round(middle * (1 + 0.06 * season + 0.05 * noise), 2)


def _parse(argument: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # fromisoformat also takes 20250401 and 2025-W14-2, which the schema does not offer.
    if day is None or day.isoformat() != text:
        raise ValueError(f"{argument} {text!r} is not a date; write YYYY-MM-DD, such as 2025-04-22")
    return day
