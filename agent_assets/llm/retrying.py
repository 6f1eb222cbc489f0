"""When a request to a language model is tried again, and when it is not.

`llm/client.py` says which statuses and replies are worth another try, `llm/config.py` how long.
"""

import random
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from tenacity import RetryCallState, wait_exponential

if TYPE_CHECKING:
    from httpx import Response

_PAUSE = wait_exponential(multiplier=0.5, max=30.0)


class Unanswered(Exception):
    """A try that failed. Always handled.

    Args:
        pause_s: seconds that the server asks to wait.
        last: another try would not help.
    """

    def __init__(self, why: str, pause_s: float = 0.0, *, last: bool = False) -> None:
        super().__init__(why)
        self.pause_s, self.last = pause_s, last


def may_succeed(error: BaseException) -> bool:
    """Whether a request that failed so is tried again."""
    return isinstance(error, Unanswered) and not error.last


def pause_before_next(state: RetryCallState) -> float:
    """Seconds before the next try: as the server asks, at least a pause that grows, and differs
    between those who failed together.
    """
    error = state.outcome.exception() if state.outcome is not None else None
    asked_pause_s = error.pause_s if isinstance(error, Unanswered) else 0.0
    return max(asked_pause_s, _PAUSE(state) * random.uniform(0.5, 1.0))


def retry_after(response: "Response", *, now: float) -> float:
    """Seconds that a server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a
    date; 0 without.
    """
    milliseconds, text = (
        response.headers.get("retry-after-ms"),
        response.headers.get("retry-after", ""),
    )
    try:
        return max(0.0, float(milliseconds) / 1000 if milliseconds else float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0


def is_hopeless(error: BaseException) -> bool:
    """Whether a connection fails for a reason that waiting does not change: a certificate that is
    not trusted, or an address that is none.
    """
    from ssl import SSLCertVerificationError

    from httpx import InvalidURL, UnsupportedProtocol

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SSLCertVerificationError | InvalidURL | UnsupportedProtocol):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
