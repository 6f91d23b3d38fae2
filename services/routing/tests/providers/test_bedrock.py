"""Bedrock in front of a server that answers as Amazon's does: what is sent to it, and what its frames become."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec
import pytest

from hive_routing.dialects.converse import dialect
from hive_routing.dialects.form import Call, Failed, Stop, Text, gather
from hive_routing.dialects.port import Frame
from hive_routing.providers.aws.credentials import AccessKey
from hive_routing.providers.aws.sigv4 import Signer
from hive_routing.providers.bedrock import BedrockProvider
from hive_routing.providers.failures import failure
from hive_routing.providers.over_http import Site
from hive_routing.providers.port import ProviderAnswer, ProviderCall, Timeouts
from hive_runtime.errors import HiveError, Kind
from services.routing.tests.providers.aws_frames import event, exception, frame

PATIENT = Timeouts(connect=2, first_byte=2, idle=2, total=5)
MODEL = "eu.anthropic.claude-sonnet-4-20250514-v1:0"
KEY = "AKIAIOSFODNN7EXAMPLE:wJalr/XUtn+FEMI:session-token"
BODY = b'{"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}'
ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
    "metrics": {"latencyMs": 1},
}
FRAMES = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Let me "}, "p": "abc"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "look 🐝"}, "p": "abcdef"}),
    event("contentBlockStop", {"contentBlockIndex": 0}),
    event(
        "contentBlockStart",
        {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "tooluse_1", "name": "look_up"}}},
    ),
    event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"city":'}}}),
    event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '"Rom"}'}}}),
    event("contentBlockStop", {"contentBlockIndex": 1}),
    event("messageStop", {"stopReason": "tool_use"}),
    event("metadata", {"usage": {"inputTokens": 3, "outputTokens": 9, "totalTokens": 12}, "metrics": {}}),
]


class StillClock:
    def now(self) -> float:
        return 1_790_000_000.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


class Asking(NamedTuple):
    """One request, and the connection that it came through."""

    path: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def say(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"HTTP/1.1 {status} X\r\n{lines}content-length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)


class Amazon:
    """A server whose answers are told: `answer` gives one to each request."""

    def __init__(self) -> None:
        self.asked: list[Asking] = []
        self.connections: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}
        self.gone = asyncio.Event()
        self.answer: Callable[[Asking], Awaitable[None]] = self.silence
        self.port = 0

    async def silence(self, asking: Asking) -> None:
        """Until the other side leaves."""
        await asking.reader.read(1)
        self.gone.set()

    def tell(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        async def answer(asking: Asking) -> None:
            asking.say(body, status, headers)

        self.answer = answer

    def stream(self, *pieces: bytes, stays: bool = False) -> None:
        """In chunks as they are; stays: nothing ends it."""

        async def answer(asking: Asking) -> None:
            writer = asking.writer
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )
            for piece in pieces:
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                await writer.drain()
            if stays:
                await self.silence(asking)
            writer.write(b"0\r\n\r\n")

        self.answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections[writer] = asyncio.current_task()
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines)
                assert len(headers) == len(lines), "a header came twice"
                body = await reader.readexactly(int(headers["content-length"]))
                asking = Asking(first.split(" ")[1], headers, body, reader, writer)
                self.asked.append(asking)
                await self.answer(asking)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def amazon() -> AsyncIterator[Amazon]:
    amazon = Amazon()
    server = await asyncio.start_server(amazon.serve, "127.0.0.1", 0)
    amazon.port = server.sockets[0].getsockname()[1]
    yield amazon
    amazon.gone.set()
    server.close()
    for writer in amazon.connections:
        writer.transport.abort()
    async with asyncio.timeout(2):
        await asyncio.gather(*filter(None, amazon.connections.values()), return_exceptions=True)


@pytest.fixture
async def provider(amazon: Amazon) -> AsyncIterator[BedrockProvider]:
    provider = made(f"http://127.0.0.1:{amazon.port}", KEY, region="eu-central-1")
    yield provider
    await provider.close()


def made(url: str, credential: str, **options: str) -> BedrockProvider:
    return BedrockProvider(Site("aws", "bedrock", url, credential, options, clock=StillClock()))


def call(
    operation: str = "converse", body: bytes = BODY, *, model: str = MODEL, stream: bool = False
) -> ProviderCall:
    return ProviderCall(operation, model, body, stream, "req_1-1-1", PATIENT, {"anthropic-beta": "x"})


async def read(answer: ProviderAnswer) -> bytes:
    async with aclosing(answer.body) as body:
        return b"".join([data async for data in body])


def frames(sse: bytes) -> list[Frame]:
    assert sse.endswith(b"\n\n")
    events = sse.removesuffix(b"\n\n").split(b"\n\n")
    assert all(each.startswith(b"data: ") and b"\n" not in each for each in events)
    return [Frame("", each.removeprefix(b"data: ")) for each in events]


async def test_a_call_is_signed_and_its_body_is_what_was_given(
    amazon: Amazon, provider: BedrockProvider
) -> None:
    amazon.tell(ANSWER)
    for _ in range(2):
        answer = await provider.send(call())
        assert (answer.status, msgspec.json.decode(await read(answer))) == (200, ANSWER)
    path, headers, body, *_ = amazon.asked[0]
    assert path == "/model/eu.anthropic.claude-sonnet-4-20250514-v1%3A0/converse"
    assert body == BODY
    key = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalr/XUtn+FEMI", "session-token")
    signed = {"host": f"127.0.0.1:{amazon.port}", "content-type": "application/json"}
    added = Signer(key, "eu-central-1", "bedrock").sign("POST", path, signed, BODY, 1_790_000_000.0)
    assert headers.items() >= (signed | added).items()
    assert headers["x-client-request-id"] == "req_1-1-1"
    assert "anthropic-beta" not in headers
    assert len(amazon.connections) == 1


async def test_an_api_key_goes_out_as_it_is(amazon: Amazon) -> None:
    amazon.tell(ANSWER)
    provider = made(f"http://127.0.0.1:{amazon.port}/behind/", "ABSK-key")
    await read(await provider.send(call(model="arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x:0")))
    await provider.close()
    path, headers, *_ = amazon.asked[0]
    assert path == "/behind/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x%3A0/converse"
    assert headers["authorization"] == "Bearer ABSK-key"
    assert "x-amz-date" not in headers


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_frames_become_server_sent_events(amazon: Amazon, provider: BedrockProvider, size: int) -> None:
    data = frame({":message-type": "event", ":event-type": "initial-response"}) + b"".join(FRAMES)
    amazon.stream(*[data[at : at + size] for at in range(0, len(data), size)])
    answer = await provider.send(call(stream=True))
    assert answer.headers["content-type"] == "text/event-stream"
    sse = await read(answer)
    assert amazon.asked[0].path.endswith("/converse-stream")
    assert (
        b'data: {"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"Let me "},"p":"abc"}}\n\n' in sse
    )
    reader = dialect.reader()
    choice = gather([each for sent in frames(sse) for each in reader.feed(sent)]).choices[0]
    assert choice.parts == [Text("Let me look 🐝"), Call("tooluse_1", "look_up", '{"city":"Rom"}')]
    assert choice.stop is Stop.TOOLS


async def test_line_ends_in_a_payload_are_none_in_an_event(amazon: Amazon, provider: BedrockProvider) -> None:
    amazon.stream(frame({":message-type": "event", ":event-type": "metadata"}, b'{\r\n "usage": {}\n}'))
    sse = await read(await provider.send(call(stream=True)))
    assert [msgspec.json.decode(each.data) for each in frames(sse)] == [{"metadata": {"usage": {}}}]


async def test_a_stream_that_ends_early_just_ends(amazon: Amazon, provider: BedrockProvider) -> None:
    amazon.stream(*FRAMES[:3])
    assert len(frames(await read(await provider.send(call(stream=True))))) == 3


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([FRAMES[0], FRAMES[1][:-3]], "in the middle of an event"),
        ([FRAMES[0], FRAMES[1][:-3] + b"xyz"], "checksum of a message"),
        ([b"<html>no such thing</html>"], "checksum of a prelude"),
    ],
)
async def test_a_broken_stream_fails(
    amazon: Amazon, provider: BedrockProvider, pieces: list[bytes], words: str
) -> None:
    amazon.stream(*pieces)
    answer = await provider.send(call(stream=True))
    with pytest.raises(HiveError, match=words) as raised:
        await read(answer)
    assert raised.value.kind is Kind.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (
            exception("throttlingException", "Slow down"),
            {"message": "Slow down", "type": "throttlingException"},
        ),
        (
            frame({":message-type": "error", ":error-code": "Internal", ":error-message": "Oh"}),
            {"message": "Oh", "type": "Internal"},
        ),
        (
            frame({":message-type": "exception", ":exception-type": "x"}, b'{"originalMessage":"Too hot"}'),
            {"message": "Too hot", "type": "x"},
        ),
        (frame({":message-type": "exception", ":exception-type": "x"}, b"?"), {"message": "", "type": "x"}),
    ],
)
async def test_an_exception_is_an_error_event(
    amazon: Amazon, provider: BedrockProvider, last: bytes, words: dict[str, str]
) -> None:
    amazon.stream(FRAMES[0], last)
    sent = frames(await read(await provider.send(call(stream=True))))
    assert msgspec.json.decode(sent[-1].data) == {"error": words}
    reader = dialect.reader()
    assert [each for one in sent for each in reader.feed(one)][-1] == Failed(words)


TOO_LONG = "Input is too long for requested model."


@pytest.mark.parametrize(
    ("status", "name", "body", "kind", "reason"),
    [
        (400, "ValidationException:http://x/", {"message": "Bad"}, Kind.INVALID, None),
        (400, "ValidationException", {"message": TOO_LONG}, Kind.INVALID, "context_length_exceeded"),
        (429, "ThrottlingException", {"message": "Too many requests"}, Kind.RATE_LIMITED, None),
        (400, "com.amazon#ThrottlingException", {"message": "Slow"}, Kind.RATE_LIMITED, None),
        (400, "ServiceQuotaExceededException", {"message": "Quota"}, Kind.RATE_LIMITED, None),
        (429, "ModelNotReadyException", {"message": "Wait"}, Kind.UPSTREAM_FAILED, None),
        (503, "ServiceUnavailableException", {"message": "Wait"}, Kind.UPSTREAM_FAILED, None),
        (408, "ModelTimeoutException", {"message": "Slow"}, Kind.TIMEOUT, None),
        (424, "ModelErrorException", {"message": "Oh"}, Kind.UPSTREAM_FAILED, None),
        (404, "ResourceNotFoundException", {"message": "No model"}, Kind.NOT_FOUND, None),
        (
            403,
            "AccessDeniedException",
            {"Message": "No"},
            Kind.UPSTREAM_FAILED,
            "provider_credential_refused",
        ),
        (
            400,
            "ExpiredTokenException",
            {"message": "Old"},
            Kind.UPSTREAM_FAILED,
            "provider_credential_refused",
        ),
        (500, "", b"<html>", Kind.UPSTREAM_FAILED, None),
    ],
)
async def test_errors_are_what_their_names_say(
    amazon: Amazon,
    provider: BedrockProvider,
    status: int,
    name: str,
    body: Any,
    kind: Kind,
    reason: str | None,
) -> None:
    amazon.tell(body, status, {"x-amzn-errortype": name} if name else {})
    answer = await provider.send(call(stream=True))
    error = failure(answer.status, answer.headers, await read(answer), "aws")
    assert (error.kind, error.reason) == (kind, reason)
    if kind is Kind.INVALID:
        assert error.message == body["message"]


async def test_errors_do_not_repeat_a_secret(amazon: Amazon, provider: BedrockProvider) -> None:
    amazon.tell({"message": "The canonical request has x-amz-security-token:session-token"}, 400)
    assert b"session-token:***" not in await read(await provider.send(call()))
    assert b"token:session-token" not in await read(await provider.send(call()))


async def test_leaving_a_stream_ends_it(amazon: Amazon, provider: BedrockProvider) -> None:
    amazon.stream(FRAMES[0], stays=True)
    answer = await provider.send(call(stream=True))
    assert await answer.body.__anext__() == b'data: {"messageStart":{"role":"assistant"}}\n\n'
    await answer.body.aclose()
    await answer.body.aclose()
    with pytest.raises(HiveError):
        await answer.body.__anext__()


async def test_cancelling_a_call_closes_its_connection(amazon: Amazon, provider: BedrockProvider) -> None:
    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        task = group.create_task(provider.send(call()))
        while not amazon.asked:
            await asyncio.sleep(0)
        task.cancel()
        await amazon.gone.wait()


@pytest.mark.parametrize(
    ("url", "credential", "options", "region"),
    [
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", KEY, {}, "eu-central-1"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", KEY, {}, "us-gov-west-1"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn", KEY, {}, "cn-north-1"),
        ("https://vpce-1-a.bedrock-runtime.eu-west-3.vpce.amazonaws.com", KEY, {}, "eu-west-3"),
        ("https://bedrock.internal", KEY, {"region": "sa-east-1"}, "sa-east-1"),
        (
            "https://bedrock.internal",
            '{"access_key_id":"AKIA1","secret_access_key":"s","region":"ap-south-1"}',
            {"region": "sa-east-1"},
            "ap-south-1",
        ),
    ],
)
async def test_where_it_is_signed_for(
    url: str, credential: str, options: dict[str, str], region: str
) -> None:
    provider = made(url, credential, **options)
    assert f"/{region}/bedrock/aws4_request" in provider._signature("/", b"")
    await provider.close()


@pytest.mark.parametrize(
    ("url", "credential", "words"),
    [
        ("https://bedrock.internal", KEY, "the region is not known"),
        ("bedrock.internal", KEY, "no http"),
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", "", "a credential is needed"),
    ],
)
def test_a_site_that_cannot_be_used(url: str, credential: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(url, credential)


async def test_titan_is_asked_for_each_text(amazon: Amazon, provider: BedrockProvider) -> None:
    async def answer(asking: Asking) -> None:
        asking.say({"embedding": [float(asking.json["inputText"]), 0.5], "inputTextTokenCount": 2})

    amazon.answer = answer
    texts = [str(number) for number in range(20)]
    body = msgspec.json.encode({"model": "x", "input": texts, "dimensions": 256})
    model = "amazon.titan-embed-text-v2:0"
    got = msgspec.json.decode(await read(await provider.send(call("embeddings", body, model=model))))
    assert [each["embedding"] for each in got["data"]] == [[float(text), 0.5] for text in texts]
    assert got["usage"] == {"prompt_tokens": 40, "total_tokens": 40}
    assert {asking.path for asking in amazon.asked} == {"/model/amazon.titan-embed-text-v2%3A0/invoke"}
    assert amazon.asked[0].json["dimensions"] == 256
    assert len(amazon.connections) <= 8


async def test_cohere_is_asked_for_many_at_once(amazon: Amazon, provider: BedrockProvider) -> None:
    async def answer(asking: Asking) -> None:
        texts = asking.json["texts"]
        count = {"x-amzn-bedrock-input-token-count": str(len(texts))}
        asking.say({"embeddings": {"float": [[1.0, 0.25] for _ in texts]}, "id": "e"}, 200, count)

    amazon.answer = answer
    asked = {"input": ["bee"] * 100, "encoding_format": "base64", "input_type": "search_query"}
    sent = call("embeddings", msgspec.json.encode(asked), model="cohere.embed-v4:0")
    got = msgspec.json.decode(await read(await provider.send(sent)))
    assert sorted(len(asking.json["texts"]) for asking in amazon.asked) == [4, 96]
    assert amazon.asked[0].json["input_type"] == "search_query"
    assert base64.b64decode(got["data"][99]["embedding"]) == struct.pack("<2f", 1.0, 0.25)
    assert got["usage"]["total_tokens"] == 100


async def test_the_first_error_is_the_answer_to_all_texts(amazon: Amazon, provider: BedrockProvider) -> None:
    amazon.tell({"message": "Slow"}, 429, {"x-amzn-errortype": "ThrottlingException"})
    body = msgspec.json.encode({"input": ["a"] * 30})
    answer = await provider.send(call("embeddings", body, model="amazon.titan-embed-text-v2:0"))
    assert answer.status == 429
    assert await read(answer) == b'{"message":"Slow"}'
    assert len(amazon.asked) <= 8


@pytest.mark.parametrize(
    ("body", "model", "param"),
    [
        ({"input": [[1, 2]]}, "amazon.titan-embed-text-v2:0", "input"),
        ({"input": "bee", "input_type": "query"}, "amazon.titan-embed-text-v2:0", "input_type"),
        ({"input": "bee"}, MODEL, "model"),
    ],
)
async def test_what_embedding_models_cannot_be_asked(
    provider: BedrockProvider, body: Any, model: str, param: str
) -> None:
    with pytest.raises(HiveError) as raised:
        await provider.send(call("embeddings", msgspec.json.encode(body), model=model))
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID, param)


async def test_vectors_that_cannot_be_read_are_an_error(amazon: Amazon, provider: BedrockProvider) -> None:
    amazon.tell({"vectors": []})
    sent = call("embeddings", b'{"input":"bee"}', model="amazon.titan-embed-text-v2:0")
    with pytest.raises(HiveError, match="cannot be read") as raised:
        await provider.send(sent)
    assert raised.value.kind is Kind.UPSTREAM_FAILED
