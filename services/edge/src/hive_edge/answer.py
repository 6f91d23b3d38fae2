"""One answer on its way to a client: the service's, or an error in the words of the client's dialect."""

from __future__ import annotations

from hive_edge.durations import go_duration, milliseconds
from hive_edge.limits import UNLIMITED, Rate, Refused
from hive_relay import Call
from hive_relay.asgi import AnswerCut, Client
from hive_relay.frames import HeaderPairs
from hive_runtime.clock import Clock
from hive_runtime.dialects import Dialect, error_body, error_event, error_headers
from hive_runtime.errors import HiveError


class Answer:
    """What goes back to one client; it ends in exactly one way.

    standing: of the client's key, for the rate-limit headers. complete: the service's answer came to its end.
    events: of a stream, sent so far; as a rule each holds one token. error: what it ended with.
    began: monotonic seconds of the first byte of its body, None until then.
    """

    status = 0
    began: float | None = None
    error: HiveError | None = None
    standing = UNLIMITED
    complete = False
    events = 0
    _streaming = False
    _before = 0
    """Events that the client had from a connection before this one."""

    def __init__(self, client: Client, request_id: str, dialect: Dialect, clock: Clock) -> None:
        self.request_id = request_id
        self._client = client
        self._dialect = dialect
        self._clock = clock

    async def relay(self, call: Call) -> bytes:
        """Pass the service's answer on as it comes; credit follows what the client takes.

        Returns when all of it is here, with what the client does not have yet: that is for `end`.
        """
        status, headers = await call.head()
        data, complete = call.ready()
        fields = dict(headers)
        if complete and b"content-length" not in fields:
            headers.append((b"content-length", b"%d" % len(data)))
        self._streaming = b"event-stream" in fields.get(b"content-type", b"")
        if b"x-hive-resumed" in fields:
            self._before = int(fields[b"x-hive-resumed"])
        self._start(status, headers, is_numbered=b"x-hive-request-id" in fields)
        if complete:
            return data
        self.take(data)
        call.taken(len(data))
        return await call.pass_on(self)

    def end(self, data: bytes) -> None:
        """data: the last of it."""
        self.take(data, more_body=False)
        self.complete = True

    # As a call's `Taker`

    @property
    def is_full(self) -> bool:
        return self._client.is_full

    async def room(self) -> None:
        await self._client.room()

    def take(self, data: bytes, *, more_body: bool = True) -> bool:
        if self._streaming:
            self.events += data.count(b"\n\n")
        return self._client.write(data, more_body)

    async def fail(self, error: HiveError) -> None:
        """End with an error: as a body of its own, or as a stream's last event."""
        self.error = error
        if self.status != 0 and not self._streaming:
            raise AnswerCut(error.message)
        if self.is_full:
            await self.room()
        if self.status == 0:
            body = error_body(self._dialect, error, self.request_id)
            headers = error_headers(error)
            headers.append((b"content-length", b"%d" % len(body)))
            if isinstance(error, Refused):
                self.standing = error.standing
                headers += _retry_headers(error)
            self._start(error.status, headers)
            self._client.write(body, False)
        else:
            number = self._before + self.events
            self._client.write(error_event(self._dialect, error, self.request_id, number), False)

    def _start(self, status: int, headers: HeaderPairs, *, is_numbered: bool = False) -> None:
        """is_numbered: the headers have an id already, by which the stream can be resumed."""
        self.status = status
        self.began = self._clock.monotonic()
        number = self.request_id.encode()
        headers += [(b"x-request-id", number), (b"request-id", number)]
        if not is_numbered:
            headers.append((b"x-hive-request-id", number))
        if self.standing is not UNLIMITED:
            requests, tokens = self.standing
            if requests is not None:
                headers += _rate_headers(requests, b"requests")
            if tokens is not None:
                headers += _rate_headers(tokens, b"tokens")
        self._client.start(status, headers)


def _rate_headers(rate: Rate, of: bytes) -> HeaderPairs:
    return [
        (b"x-ratelimit-limit-" + of, b"%d" % rate.limit),
        (b"x-ratelimit-remaining-" + of, b"%d" % rate.remaining),
        (b"x-ratelimit-reset-" + of, go_duration(rate.reset).encode()),
    ]


def _retry_headers(refused: Refused) -> HeaderPairs:
    """Finer than `retry-after`, for the SDKs that read it."""
    return [] if refused.wait is None else [(b"retry-after-ms", b"%d" % milliseconds(refused.wait))]
