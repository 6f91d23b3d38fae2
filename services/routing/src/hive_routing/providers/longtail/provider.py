"""The provider `any-llm`: chats with a provider that the library any-llm has an adapter for."""

from __future__ import annotations

import inspect
from typing import Any

from any_llm import AnyLLM  # type: ignore[import-not-found]
from any_llm.exceptions import AnyLLMError  # type: ignore[import-not-found]
from any_llm.providers.openai.base import BaseOpenAIProvider  # type: ignore[import-not-found]

from hive_routing.providers.failures import broken_answer
from hive_routing.providers.longtail.answering import Chunks, Model, Writer
from hive_routing.providers.longtail.asking import Arguments, arguments
from hive_routing.providers.longtail.bodies import Events, Once, Patience
from hive_routing.providers.longtail.refusals import Meanings
from hive_routing.providers.over_http import Site, head_lines
from hive_routing.providers.port import ProviderAnswer, ProviderCall
from hive_runtime import tracing
from hive_runtime.errors import HiveError, Kind

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class AnyLlmProvider:
    """Implements the port `Provider`. The head of a stream is there when its first event is.

    The attempt's id goes out where the library asks through OpenAI's SDK; the others have no common way to pass a
    header. Two of the library's adapters, for Bedrock and for SageMaker, work in threads: a call that is cancelled
    ends there when it is answered.
    """

    speaks = ("chat",)

    def __init__(self, site: Site) -> None:
        """Raises ValueError for a site that the library cannot speak to, ImportError where it wants a package."""
        head_lines({"authorization": site.credential})
        self._name = site.name
        self._clock = site.clock
        self._is_traced = site.is_traced
        self._meanings = Meanings(site.name, site.credential)
        self._llm: Any = _made(site)
        self._takes_headers = isinstance(self._llm, BaseOpenAIProvider)
        self._takes_timeout = self._llm.TIMEOUT_SUPPORT == "native"

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        """Returns when the whole answer is there, or, of a stream, its first event. Raises HiveError."""
        if call.operation != "chat":
            raise HiveError(Kind.INVALID, f"`{call.operation}` cannot be asked of this provider.", "model")
        asked = {"model": call.model, **arguments(call.body, call.stream), **self._options(call)}
        writer = Writer(int(self._clock.now()))
        patience = Patience(call.timeouts, self._name)
        seconds = call.timeouts.connect + call.timeouts.first_byte
        try:
            if not call.stream:
                body = await patience.wait(self._answered(asked, writer), seconds, "did not answer")
                return ProviderAnswer(200, _JSON, Once(body))
            chunks, first = await patience.wait(self._begun(asked, writer), seconds, "did not answer")
            return ProviderAnswer(200, _SSE, Events(chunks, first, writer, patience, self._meanings.late))
        except HiveError:
            raise
        except Exception as error:
            found = self._meanings.of(error)
        if isinstance(found, HiveError):
            raise found
        return ProviderAnswer(found.status, found.headers, Once(found.body))

    async def close(self) -> None:
        """Close the SDK's client, if it has one that can be closed."""
        close = getattr(getattr(self._llm, "client", None), "close", None)
        closing = close() if callable(close) else None
        if inspect.isawaitable(closing):
            await closing

    def _options(self, call: ProviderCall) -> Arguments:
        """What one call has beside its body. The SDK's own patience must not end before ours."""
        options: Arguments = {"timeout": call.timeouts.total} if self._takes_timeout else {}
        if self._takes_headers:
            options["extra_headers"] = headers = {"x-client-request-id": call.attempt_id}
            if self._is_traced and (traceparent := tracing.current().traceparent):
                headers["traceparent"] = traceparent
        return options

    async def _answered(self, asked: Arguments, writer: Writer) -> bytes:
        answer: Model = await self._llm.acompletion(**asked)
        return writer.whole(answer)

    async def _begun(self, asked: Arguments, writer: Writer) -> tuple[Chunks, bytes]:
        chunks: Chunks = await self._llm.acompletion(**asked)
        try:
            return chunks, writer.event(await anext(chunks))
        except StopAsyncIteration:
            raise broken_answer(self._name, "sent a stream without an event") from None
        except BaseException:
            await chunks.aclose()
            raise


def _made(site: Site) -> Any:
    """The library's object for a provider. Whether to ask again is decided elsewhere: it asks once where it can."""
    provider = site.options.get("provider", "")
    try:
        kind = AnyLLM.get_provider_class(provider)
        if not kind.SUPPORTS_COMPLETION:
            raise ValueError(f"any-llm's provider {provider!r} does not chat")
        retries = {} if kind.MAX_RETRIES_SUPPORT == "unsupported" else {"max_retries": 0}
        return AnyLLM.create(
            provider, site.credential or None, site.base_url or None, unified_exceptions=True, **retries
        )
    except ImportError as error:
        raise ImportError(str(error), name=f"any-llm-sdk[{provider}]") from error
    except AnyLLMError as error:
        raise ValueError(str(error)) from error
