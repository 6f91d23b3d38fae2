"""How Amazon answers: binary frames, the kind of an error in a header, and requests that are signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hive_testing.simulator import eventstream
from hive_testing.simulator.calls import Call
from hive_testing.simulator.converse import sigv4
from hive_testing.simulator.dialect import Overlaid, bearer
from hive_testing.simulator.reply import Event, InvalidRequest

KINDS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
IN_STREAMS = {
    400: "validationException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    503: "serviceUnavailableException",
}


class Converse(Overlaid):
    stream_type = eventstream.CONTENT_TYPE

    def frame(self, event: Event, crlf: bool) -> bytes:
        """An event whose name is an exception's is one."""
        kind = "exception" if event.name in (*IN_STREAMS.values(), "internalServerException") else "event"
        headers = {
            f":{kind}-type": event.name,
            ":content-type": "application/json",
            ":message-type": kind,
        }
        return eventstream.frame(headers, event.data)

    def keep_alive(self, crlf: bool) -> bytes:
        """There is no such frame."""
        return b""

    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Any:
        return {"message": message}

    def error_body(self, error: Any, number: int) -> bytes:
        return msgspec.json.encode(error)

    def error_event(self, status: int, error: Any, place: int) -> Event:
        return Event(msgspec.json.encode(error), None, IN_STREAMS.get(status, "internalServerException"))

    def headers(self, status: int, number: int) -> Mapping[str, str]:
        identified = {"x-amzn-requestid": f"00000000-0000-4000-8000-{number:012d}"}
        if status < 400:
            return identified
        kind = KINDS.get(status, "InternalServerException")
        return {
            **identified,
            "x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/",
        }

    def check_key(self, call: Call, key: str) -> None:
        """A signature that the secret of `access key:secret` makes, or the whole key as a bearer token."""
        if bearer(call) == key:
            return
        if wrong := sigv4.fault(call, *key.partition(":")[::2]):
            raise InvalidRequest(wrong, status=403)


CONVERSE = Converse()
