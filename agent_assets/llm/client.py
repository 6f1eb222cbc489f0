"""One language model behind an OpenAI-compatible `/chat/completions`: the place every paid call
passes through.

An answer is asked for once: it is kept on disk before it is used, two equal requests under way
share one answer, and a request that nobody waits for any more (a rollout ran out of time, another
question failed) is still finished and kept.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_before_delay,
)

from agent_assets.agent.tracing import span
from agent_assets.conversations.messages import JsonObject, Usage
from agent_assets.errors import LlmError, LlmModelChanged, LlmRefused, LlmUnavailable
from agent_assets.llm.answer_cache import AnswerCache
from agent_assets.llm.completions import BadCompletion, read_completion, read_usage, same_model
from agent_assets.llm.config import LlmConfig
from agent_assets.llm.retrying import (
    Unanswered,
    is_hopeless,
    may_succeed,
    pause_before_next,
    retry_after,
)
from agent_assets.llm.spending import Spending

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types.chat.chat_completion import Choice

_TRANSIENT = {408, 409, 425, 429}  # and every 5xx but these
_NEVER = {501, 505}
_BAD_REPLIES = 5  # so often what is no completion is asked for again: a server that has no other
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

    async def __aexit__(self, *error: object) -> None:
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
        tries = AsyncRetrying(
            retry=retry_if_exception(may_succeed),
            wait=pause_before_next,
            stop=self._is_over,
            sleep=self._pause,
            before_sleep=self._count_retry,
            reraise=True,
        )
        try:
            return await tries(self._try, key, request, [])
        except Unanswered as error:
            raise LlmUnavailable(
                f"The model {self.endpoint.model} gave no answer in "
                f"{tries.statistics['attempt_number']} tries (the last: {error}).",
                next_step="check OPENAI_BASE_URL, and materialize again when it answers: "
                "every answer so far is kept. llm.give_up_s says how long one answer is waited "
                "for.",
            ) from None

    async def _try(self, key: str, request: JsonObject, bad_replies: list[str]) -> JsonObject:
        """Ask once.

        Args:
            bad_replies: what was no completion so far; one more is added.

        Raises:
            Unanswered: there may be an answer later.
            LlmRefused: there will be none.
        """
        from openai import APIConnectionError, APIStatusError

        self.spending.begin_request()
        try:
            return self._keep(key, request, await self._send(request))
        except BadCompletion as error:
            bad_replies.append(str(error))
            raise Unanswered(str(error), last=len(bad_replies) == _BAD_REPLIES) from None
        except APIStatusError as error:
            later = error.status_code in _TRANSIENT or error.status_code >= 500
            if not later or error.status_code in _NEVER or error.code == "insufficient_quota":
                raise self._refused(error) from None
            pause_s = retry_after(error.response, now=time.time())
            raise Unanswered(f"HTTP {error.status_code}", pause_s) from None
        except APIConnectionError as error:  # a time-out is one of these
            raise Unanswered(type(error).__name__, last=is_hopeless(error)) from None

    def _is_over(self, state: RetryCallState) -> bool:
        return self._closing.is_set() or stop_before_delay(self.config.give_up_s)(state)

    def _count_retry(self, _: RetryCallState) -> None:
        self.spending.retries += 1

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
