"""One language model behind an OpenAI-compatible `/chat/completions`: the place every paid call
passes through.

An answer is asked for once: it is kept on disk before it is used, two equal requests under way
share one answer, and a request that nobody waits for any more (a rollout ran out of time, another
question failed) is still finished and kept.
"""

import asyncio
import json
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agent_assets.agent.tracing import span
from agent_assets.conversations.messages import JsonObject, Usage
from agent_assets.errors import LlmError, LlmModelChanged, LlmRefused, LlmUnavailable
from agent_assets.llm.answer_cache import AnswerCache
from agent_assets.llm.completions import BadCompletion, read_completion, read_usage, same_model
from agent_assets.llm.config import LlmConfig
from agent_assets.llm.spending import Spending

if TYPE_CHECKING:
    from httpx import Response
    from openai import APIStatusError
    from openai.types.chat.chat_completion import Choice

_TRANSIENT = {408, 409, 425, 429}  # and every 5xx but these
_NEVER = {501, 505}
_BAD_REPLIES = 5  # so often what is no completion is asked for again: a server that has no other
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_CHARACTERS_PER_TOKEN = 3


@dataclass(frozen=True)
class LlmEndpoint:
    """Where a model is asked, with what key. The key is in no representation of this."""

    base_url: str
    model: str
    api_key: str

    def __repr__(self) -> str:
        return f"LlmEndpoint({self.model!r})"


@dataclass(frozen=True)
class LlmAnswer:
    """An answer: its choice, tokens as the server counted them (or an estimate), whether it came
    from the cache.
    """

    choice: "Choice"
    usage: Usage
    cached: bool


class LlmClient:
    """Asks one model; safe to use from many tasks, inside `async with`, which waits for what is
    under way.

    Args:
        cache: where answers are kept and looked for.
    """

    def __init__(self, endpoint: LlmEndpoint, config: LlmConfig, cache: AnswerCache) -> None:
        from openai import AsyncOpenAI

        self.endpoint, self.config = endpoint, config
        self.spending = Spending(config)
        self.json_schema = True  # until the server says that it knows no `response_format`
        self._cache = cache
        self._settings = config.request_settings(endpoint.model)
        self._client = AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,
            timeout=config.timeout_s,
            max_retries=0,
        )
        self._under_way: dict[str, asyncio.Task[JsonObject]] = {}
        self._closing = asyncio.Event()
        self._first_model: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let requests under way finish, so that nothing paid for is lost; start none anew."""
        self._closing.set()
        waiting = list(self._under_way.values())
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self.config.timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        await self._client.close()

    async def ask(self, prompt: JsonObject) -> LlmAnswer:
        """Send messages (and tools, and a response format), or take the answer that was given
        before.

        Raises:
            LlmUnavailable: no answer in `give_up_s`, retries with growing pauses included.
            LlmRefused: the server refuses the request.
            LlmSpendCap: a cap is reached.
            LlmModelChanged: another model answered, and the configuration says that this is an
                error.
        """
        request = self._settings | prompt
        with span("llm_call", lambda: request) as traced:
            key = AnswerCache.key(request)
            answer = self._cache.read(key)
            cached = answer is not None
            if answer is None:
                answer = await asyncio.shield(self._begin(key, request))
            self._check_model(str(answer.get("model") or ""))
            traced.finish(answer)
        usage, estimated = self._usage(request, answer)
        self.spending.used += usage
        self.spending.cached += cached
        self.spending.estimated += estimated
        self.spending.models[str(answer.get("model") or "unnamed")] += 1
        return LlmAnswer(read_completion(answer), usage, cached)

    def _begin(self, key: str, request: JsonObject) -> "asyncio.Task[JsonObject]":
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._request(key, request))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._end(key, done))
        return task

    def _end(self, key: str, done: "asyncio.Task[JsonObject]") -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # looked at here: its rollout may have ended before it

    async def _request(self, key: str, request: JsonObject) -> JsonObject:
        """Ask until there is an answer, and keep it."""
        from openai import APIConnectionError, APIStatusError

        deadline = time.monotonic() + self.config.give_up_s
        bad_replies = 0
        for attempt in range(1_000_000):
            self.spending.begin_request()
            self.spending.retries += attempt > 0
            wanted = 0.0
            try:
                return self._keep(key, request, await self._send(request))
            except BadCompletion as error:
                why = str(error)
                bad_replies += 1
                if bad_replies == _BAD_REPLIES:
                    break
            except APIStatusError as error:
                transient = error.status_code in _TRANSIENT or error.status_code >= 500
                if not transient or error.status_code in _NEVER:
                    raise self._refused(error) from None
                if error.code == "insufficient_quota":
                    raise self._refused(error) from None
                why, wanted = (
                    f"HTTP {error.status_code}",
                    retry_after(error.response, now=time.time()),
                )
            except APIConnectionError as error:  # a time-out is one of these
                why = type(error).__name__
                if is_hopeless(error):
                    break
            pause = max(
                wanted,
                min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt) * random.uniform(0.5, 1.0),
            )
            if self._closing.is_set() or time.monotonic() + pause > deadline:
                break
            await self._pause(pause)
        raise LlmUnavailable(
            f"The model {self.endpoint.model} gave no answer in {attempt + 1} tries (the last: "
            f"{why}).",
            next_step="check OPENAI_BASE_URL, and materialize again when it answers: every answer "
            "so far is kept. llm.give_up_s says how long one answer is waited for.",
        )

    async def _send(self, request: JsonObject) -> str:
        """One try; the body of the reply.

        Raises:
            BadCompletion: the reply is no text.
        """
        create: Any = self._client.chat.completions.with_raw_response.create
        reply = await create(**request_arguments(request))
        try:
            return str(reply.text)
        except UnicodeDecodeError:
            raise BadCompletion("a reply that is no text") from None

    def _keep(self, key: str, request: JsonObject, text: str) -> JsonObject:
        """Count and cache the answer of a reply. One of another model is counted, and not kept as
        this model's.

        Raises:
            BadCompletion: the reply is no completion.
        """
        try:
            answer = json.loads(text)
        except ValueError:
            raise BadCompletion("a reply that is not JSON") from None
        counted = read_usage(answer)
        self.spending.paid += counted or Usage(
            0, 0
        )  # before it is read: what cannot be used was paid for, too
        read_completion(answer)
        if counted is None:
            self.spending.paid += self._usage(request, answer)[0]
        self._check_model(str(answer.get("model") or ""))
        self._cache.write(key, answer)
        return answer  # type: ignore[no-any-return]  # `read_completion` refuses what is no object

    def _check_model(self, name: str) -> None:
        if not name:
            return
        self._first_model = self._first_model or name
        if self.config.on_model_change == "record":
            return
        if not same_model(self.endpoint.model, name) or name != self._first_model:
            raise LlmModelChanged(
                f"{self.endpoint.model} was asked, {self._first_model} answered first, now {name} "
                "answered.",
                next_step="name the exact version in TEACHER_MODEL, or set llm.on_model_change "
                "to `record`.",
            )

    def _usage(self, request: JsonObject, answer: JsonObject) -> tuple[Usage, bool]:
        """Tokens of an answer, and whether they are an estimate."""
        counted = read_usage(answer)
        if counted is not None:
            return counted, False
        sizes = [
            len(json.dumps(part, ensure_ascii=False))
            for part in (request, answer["choices"][0]["message"])
        ]
        return Usage(*(size // _CHARACTERS_PER_TOKEN for size in sizes)), True

    def _refused(self, error: "APIStatusError") -> LlmError:
        # What the server says may quote the prompt: its code says enough.
        code = error.code if isinstance(error.code, str) else type(error).__name__
        return LlmRefused(
            f"The server of {self.endpoint.model} refuses the request: HTTP {error.status_code}, "
            f"{code[:80]}.",
            next_step="check OPENAI_API_KEY, OPENAI_BASE_URL, TEACHER_MODEL and the llm settings "
            "in defs.yaml.",
            status=error.status_code,
        )

    async def _pause(self, seconds: float) -> None:
        """Wait, but not past the end of the client."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return


def request_arguments(request: JsonObject) -> JsonObject:
    """The request as the library takes it: fields that it does not know go into `extra_body`."""
    known = {
        "model",
        "messages",
        "tools",
        "response_format",
        "temperature",
        "seed",
        "max_tokens",
        "max_completion_tokens",
        "tool_choice",
        "parallel_tool_calls",
    }
    extra = {name: value for name, value in request.items() if name not in known}
    return {name: value for name, value in request.items() if name in known} | (
        {"extra_body": extra} if extra else {}
    )


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
