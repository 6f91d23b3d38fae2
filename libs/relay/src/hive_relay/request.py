"""An HTTP request for a service, and the envelope that it travels in where it leaves the process."""

from __future__ import annotations

import asyncio

import msgspec

from hive_relay.frames import HeaderPairs, header_pairs
from hive_relay.principal import Principal
from hive_runtime.clock import Clock
from modelhive.relay.v1.relay_pb2 import BlobReference, RequestEnvelope


class Request(msgspec.Struct, eq=False):
    """An HTTP request for a service.

    path: percent-encoded, without the query. seconds: until the deadline.
    queued: through the bus (work), or directly (reads, deletes). owner: the tag of the one instance that can answer
    (`stream_id.tag_of`); empty: any can.

    The rest is its `Caller`'s, who sets it once; from then on nobody changes anything, since the service gets this
    very object where it runs in the same process. attempt: counts the processes that it was given to, from 1.
    reply_to: where the caller is. deadline: in the event loop's time. handed: to a process, when it was queued.
    """

    request_id: str
    service: str
    method: str
    path: str
    principal: Principal
    seconds: float
    query: str = ""
    headers: HeaderPairs = []
    body: bytes | BlobReference = b""
    queued: bool = True
    traceparent: str = ""
    owner: str = ""
    attempt: int = 1
    reply_to: str = ""
    deadline: float = 0.0
    handed: bool = False


def envelope_of(request: Request, clock: Clock) -> RequestEnvelope:
    envelope = RequestEnvelope()
    fill(envelope, request, clock)
    return envelope


def fill(envelope: RequestEnvelope, request: Request, clock: Clock) -> None:
    left = request.deadline - asyncio.get_running_loop().time()
    # One by one: the constructor takes twice as long.
    envelope.request_id = request.request_id
    envelope.attempt = request.attempt
    envelope.service = request.service
    envelope.reply_to = request.reply_to
    envelope.method = request.method
    envelope.path = request.path
    envelope.query = request.query
    envelope.principal.CopyFrom(request.principal.message())
    envelope.deadline_unix_ms = int((clock.now() + left) * 1000)
    envelope.traceparent = request.traceparent
    for name, value in request.headers:
        envelope.headers.add(name=name.decode("latin-1"), value=value.decode("latin-1"))
    if isinstance(request.body, BlobReference):
        envelope.blob.CopyFrom(request.body)
    else:
        envelope.body = request.body
    if request.handed:
        envelope.handed = True


def request_of(envelope: RequestEnvelope, clock: Clock) -> Request:
    left = envelope.deadline_unix_ms / 1000 - clock.now()
    return Request(
        request_id=envelope.request_id,
        service=envelope.service,
        method=envelope.method,
        path=envelope.path,
        principal=Principal.of(envelope.principal),
        seconds=left,
        query=envelope.query,
        headers=header_pairs(envelope.headers),
        body=envelope.blob if envelope.HasField("blob") else envelope.body,
        traceparent=envelope.traceparent,
        attempt=envelope.attempt,
        reply_to=envelope.reply_to,
        deadline=asyncio.get_running_loop().time() + left,
        handed=envelope.handed,
    )
