"""Input that means harm, byte by byte: a clear error in the promised form, and a process that is well afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hive_testing.gateway import Connection, Gateway, RawAnswer
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

CHAT = "/v1/chat/completions"
MIB = 1024 * 1024
ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}).encode()


@pytest.fixture(scope="module", autouse=True)
def all_is_started(gateway: Gateway) -> None:
    """The analytical store starts with its first work, which can be after the first of these tests has begun."""
    gateway.command("usage").check_returncode()


@pytest.fixture(autouse=True)
def nothing_stays_behind(gateway: Gateway, simulator: SimulatorThread) -> Iterator[None]:
    """Afterwards a good call works, and no file and no task is left."""
    assert gateway.public.ask("POST", CHAT, ASKED).status == 200
    before = gateway.footprint(simulator.url)
    simulator.reset()
    yield
    assert gateway.public.ask("POST", CHAT, ASKED).status == 200
    gateway.settles(simulator.url, before)


def head(gateway: Gateway, *lines: str, method: str = "POST", path: str = CHAT) -> bytes:
    """A request's head, with the key and whatever else."""
    fixed = [f"{method} {path} HTTP/1.1", "Host: gateway", f"Authorization: Bearer {gateway.key}"]
    return "\r\n".join([*fixed, *lines, "", ""]).encode("latin-1")


def check_refusal(connection: Connection, status: int) -> RawAnswer:
    """One error in the promised form, after which the connection is closed."""
    answer = connection.read_answer()
    assert answer.status == status, answer
    inner = answer.error
    assert inner.keys() >= {"message", "type", "param", "code"} and inner["code"] == answer.status
    assert connection.read_all() == b"", "something was answered behind the refusal"
    return answer


# Sizes


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_a_body_of_20_mb(gateway: Gateway, simulator: SimulatorThread, framing: str) -> None:
    body = b'{"model": "gpt-4o", "x": "' + b"x" * (20 * MIB) + b'"}'
    with gateway.raw() as connection:
        if framing == "chunked":
            connection.send(head(gateway, "Transfer-Encoding: chunked", "Connection: close"))
            connection.send_what_it_takes(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        else:
            connection.send(head(gateway, f"Content-Length: {len(body)}", "Connection: close"))
            connection.send_what_it_takes(body)
        check_refusal(connection, 413)
    assert simulator.calls == []


def test_a_body_that_only_claims_to_be_huge(gateway: Gateway) -> None:
    with gateway.raw() as connection:
        connection.send(head(gateway, f"Content-Length: {2**62}", "Connection: close"))
        check_refusal(connection, 413)


def test_a_bomb_of_headers(gateway: Gateway) -> None:
    for lines in (
        ["X-Bomb: " + "x" * 1_000_000],
        [f"X-Bomb-{each}: x" for each in range(5_000)],
        ["X" * 200_000 + ": x"],
    ):
        with gateway.raw() as connection:
            connection.send_what_it_takes(head(gateway, *lines))
            check_refusal(connection, 431)


def test_headers_without_an_end(gateway: Gateway) -> None:
    """Sixty megabytes, and never a blank line."""
    with gateway.raw() as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: gateway\r\n")
        for number in range(60):
            connection.send_what_it_takes(b"X-Bomb-%d: %b\r\n" % (number, b"x" * MIB))
        check_refusal(connection, 431)


def test_a_target_without_an_end(gateway: Gateway) -> None:
    with gateway.raw() as connection:
        connection.send_what_it_takes(head(gateway, path="/v1/" + "x" * 100_000, method="GET"))
        check_refusal(connection, 431)


def test_chunk_extensions_without_an_end(gateway: Gateway, simulator: SimulatorThread) -> None:
    with gateway.raw() as connection:
        connection.send(head(gateway, "Transfer-Encoding: chunked"))
        connection.send_what_it_takes(b"5;" + b"x" * MIB)
        check_refusal(connection, 431)
    assert simulator.calls == []


# Time


def test_half_of_everything(gateway: Gateway, simulator: SimulatorThread) -> None:
    """Half a head is told so after ten seconds; others are served all the while; leaving ends the rest."""
    request = head(gateway, f"Content-Length: {len(ASKED)}") + ASKED
    with ExitStack() as stack:
        half_a_line, half_a_head, slow = (stack.enter_context(gateway.raw()) for _ in range(3))
        half_a_line.send(b"POST /v1/chat")
        half_a_head.send(request[:60])
        slow.send(request[:-1])
        for _ in range(20):
            half_a_body = stack.enter_context(gateway.raw())
            half_a_body.send(request[:-10])
            assert gateway.public.ask("POST", CHAT, ASKED).status == 200
        check_refusal(half_a_head, 408)
        check_refusal(half_a_line, 408)
        slow.send(request[-1:])
        assert slow.read_answer().status == 200
    assert len(simulator.calls) == 21


def test_a_request_in_single_bytes(gateway: Gateway, simulator: SimulatorThread) -> None:
    request = head(gateway, f"Content-Length: {len(ASKED)}") + ASKED
    with gateway.raw() as connection:
        for each in request:
            connection.send(bytes([each]))
        assert connection.read_answer().status == 200


# Smuggling: what stands behind the ambiguity is a whole request for a model that no other test asks

SMUGGLED = "smuggled"


def smuggled(gateway: Gateway) -> bytes:
    body = ASKED.replace(b"gpt-4o", SMUGGLED.encode())
    return head(gateway, f"Content-Length: {len(body)}") + body


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


AMBIGUOUS = {
    "length and chunks": ["Content-Length: 4", "Transfer-Encoding: chunked"],
    "chunks and length": ["Transfer-Encoding: chunked", "Content-Length: 4"],
    "two lengths": ["Content-Length: 4", "Content-Length: 5"],
    "the same length twice": ["Content-Length: 4", "Content-Length: 4"],
    "a list of lengths": ["Content-Length: 4, 4"],
    "a signed length": ["Content-Length: +4"],
    "a negative length": ["Content-Length: -4"],
    "a hexadecimal length": ["Content-Length: 0x4"],
    "a length with a point": ["Content-Length: 4.0"],
    "an empty length": ["Content-Length: "],
    "an endless length": ["Content-Length: " + "9" * 40],
    "an unknown coding": ["Transfer-Encoding: xchunked"],
    "identity": ["Transfer-Encoding: identity", "Content-Length: 4"],
    "chunked, identity": ["Transfer-Encoding: chunked, identity"],
    "gzip, chunked": ["Transfer-Encoding: gzip, chunked"],
    "chunked twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "chunked and an unknown one": ["Transfer-Encoding: chunked", "Transfer-Encoding: x"],
    "a quoted coding": ['Transfer-Encoding: "chunked"'],
    "a vertical tab": ["Transfer-Encoding: \x0bchunked"],
    "a space before the colon": ["Transfer-Encoding : chunked", "Content-Length: 4"],
    "a folded line": ["Content-Length:", " 4", "Transfer-Encoding:", " chunked"],
    "a null": ["Content-Length: 4", "X-Null: a\x00b"],
    "a bare line feed": ["X-Feed: a\nTransfer-Encoding: chunked", "Content-Length: 4"],
    "a bare carriage return": ["X-Return: a\rTransfer-Encoding: chunked", "Content-Length: 4"],
    "a header without a name": [": x", "Content-Length: 4"],
    "a header without a colon": ["nothing", "Content-Length: 4"],
    "two hosts": ["Host: other", "Content-Length: 4"],
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_ambiguous_framing_is_refused(gateway: Gateway, simulator: SimulatorThread, kind: str) -> None:
    simulator.script(model=SMUGGLED, content="executed")
    with gateway.raw() as connection:
        connection.send(head(gateway, *AMBIGUOUS[kind]))
        connection.send_what_it_takes(b"0\r\n\r\n" + smuggled(gateway))
        check_refusal(connection, 400)
    assert simulator.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"0x5\r\nhello\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhelloXX",
        b"fffffffffffffffff\r\n",
        b"5 \rx",
    ],
    ids=str,
)
def test_malformed_chunks_are_refused(gateway: Gateway, simulator: SimulatorThread, body: bytes) -> None:
    with gateway.raw() as connection:
        connection.send(head(gateway, "Transfer-Encoding: chunked"))
        connection.send_what_it_takes(body + b"\r\n0\r\n\r\n" + smuggled(gateway))
        check_refusal(connection, 400)
    assert simulator.calls == []


def test_chunks_in_http_1_0(gateway: Gateway, simulator: SimulatorThread) -> None:
    request = head(gateway, "Transfer-Encoding: chunked", "Connection: keep-alive")
    with gateway.raw() as connection:
        connection.send(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        connection.send_what_it_takes(chunked(ASKED) + smuggled(gateway))
        check_refusal(connection, 400)
    assert simulator.calls == []


def test_nothing_is_read_behind_the_end(gateway: Gateway, simulator: SimulatorThread) -> None:
    """`Connection: close` was said: the request behind it is nobody's."""
    with gateway.raw() as connection:
        connection.send(head(gateway, f"Content-Length: {len(ASKED)}", "Connection: close") + ASKED)
        connection.send_what_it_takes(smuggled(gateway))
        assert connection.read_answer().status == 200
        assert connection.read_all() == b""
    assert [call.json["model"] for call in simulator.calls] == ["gpt-4o"]


def test_a_body_stays_a_body(gateway: Gateway, simulator: SimulatorThread) -> None:
    """A request inside a body that is refused early is not taken for the next one."""
    for status, path, key in ((404, "/v1/nothing", gateway.key), (401, CHAT, "wrong")):
        with gateway.raw() as connection:
            inner = smuggled(gateway)
            outer = head(gateway, f"Content-Length: {len(inner)}", path=path)
            connection.send(outer.replace(gateway.key.encode(), key.encode()) + inner)
            assert connection.read_answer().status == status
            connection.send_what_it_takes(head(gateway, "Connection: close", method="GET", path="/v1/models"))
            rest = connection.read_all()
            assert rest == b"" or (rest.count(b"HTTP/1.1 ") == 1 and b'"object":"list"' in rest)
    assert simulator.calls == []


def test_requests_in_a_row_are_answered_in_their_order(gateway: Gateway, simulator: SimulatorThread) -> None:
    simulator.script(latency=0.2, content="first", once=True)
    simulator.script(content="second", once=True)
    request = head(gateway, f"Content-Length: {len(ASKED)}") + ASKED
    with gateway.raw() as connection:
        connection.send(request + head(gateway, method="GET", path="/v1/models") + request)
        first, models, second = (connection.read_answer() for _ in range(3))

    assert first.json["choices"][0]["message"]["content"] == "first"
    assert models.json["object"] == "list"
    assert second.json["choices"][0]["message"]["content"] == "second"


def test_more_requests_in_a_row_than_may_wait(gateway: Gateway, simulator: SimulatorThread) -> None:
    """Those that waited are answered, then one refusal; none behind it reaches the provider."""
    request = head(gateway, f"Content-Length: {len(ASKED)}") + ASKED
    with gateway.raw() as connection:
        connection.send_what_it_takes(request * 1000)
        statuses = [connection.read_answer().status]
        while statuses[-1] == 200:
            statuses.append(connection.read_answer().status)
        assert connection.read_all() == b""
    assert statuses[-1] == 400
    assert len(simulator.calls) == len(statuses) - 1 < 1000


# Other languages


@pytest.mark.parametrize(
    "noise",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/models\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"B\xc3\xa9 /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"EHLO example.com\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x00" * 100,
    ],
    ids=lambda noise: repr(noise[:20]),
)
def test_what_is_no_http_1_1(gateway: Gateway, noise: bytes) -> None:
    with gateway.raw() as connection:
        connection.send(noise)
        connection.end_sending()
        check_refusal(connection, 400)


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/v1/embeddings", "dGhlIHNhbXBsZSBub25jZQ==", 404),
        ("/v1/realtime", "dGhlIHNhbXBsZSBub25jZQ==", 401),
        ("/v1/realtime", "eA==", 400),
    ],
)
def test_a_websocket_that_is_not_let_in(gateway: Gateway, path: str, key: str, status: int) -> None:
    lines = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    ]
    wanted = head(gateway, *lines, "Authorization: Bearer sk-hive-nobody", method="GET", path=path)
    with gateway.raw() as connection:
        connection.send(wanted)
        check_refusal(connection, status)


def test_an_offer_of_http_2_is_ignored(gateway: Gateway, simulator: SimulatorThread) -> None:
    lines = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"]
    with gateway.raw() as connection:
        connection.send(head(gateway, *lines, f"Content-Length: {len(ASKED)}") + ASKED)
        assert connection.read_answer().status == 200


def test_a_body_on_demand(gateway: Gateway, simulator: SimulatorThread) -> None:
    with gateway.raw() as connection:
        connection.send(head(gateway, f"Content-Length: {len(ASKED)}", "Expect: 100-continue"))
        assert connection.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        connection.send(ASKED)
        assert connection.read_answer().status == 200


def test_a_head_request_has_no_body(gateway: Gateway) -> None:
    with gateway.raw() as connection:
        connection.send(head(gateway, "Connection: close", method="HEAD", path="/v1/models"))
        answer = connection.read_all()
    assert answer.startswith(b"HTTP/1.1 ") and answer.endswith(b"\r\n\r\n")


def test_headers_cannot_be_written_into_the_answer(gateway: Gateway, simulator: SimulatorThread) -> None:
    """What a caller or a provider puts into a header stays where it is."""
    simulator.script(headers={"x-request-id": "evil", "set-cookie": "a=b", "server": "evil"}, once=True)
    headers = {
        "X-Client-Request-Id": "mine",
        "X-Request-Id": "mine",
        "Authorization": f"Bearer {gateway.key}",
    }
    answer = gateway.public.ask("POST", CHAT, ASKED, {"authorization": "", **headers})

    assert answer.headers["x-request-id"].startswith("req_")
    assert not answer.headers.keys() & {"set-cookie", "server"}


def test_the_internal_listener_is_no_softer(gateway: Gateway) -> None:
    with gateway.internal.connect() as connection:
        connection.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n")
        check_refusal(connection, 400)
    with gateway.internal.connect() as connection:
        connection.send_what_it_takes(b"GET /metrics HTTP/1.1\r\nX-Bomb: " + b"x" * MIB)
        check_refusal(connection, 431)
