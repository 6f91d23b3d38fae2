"""The head of one request: its target and its header fields, bounded and checked.

llhttp refuses most framing that two parsers could read in two ways; what is left is refused here.
"""

from __future__ import annotations

from itertools import chain
from urllib.parse import unquote

from hive_host.protocol import Limits, Refusal, invalid, too_large
from hive_relay.asgi import Scope
from hive_runtime.errors import Kind

Address = tuple[str, int | None]

_OF_AN_UPGRADE = frozenset({b"connection", b"upgrade", b"http2-settings"})
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Head:
    """The target and the header fields of one request, taken in as they come; what is wrong raises Refusal.

    fields: where the parser puts each, its name in lower case. They are the headers first; then the trailers, which
    an app would trust if it saw them among the headers.
    """

    expects_continue = False
    target = b""
    _weighed = _count = _size = 0
    """How many of `fields` were counted, how many of all, and their bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.headers: list[tuple[bytes, bytes]] = []
        self.fields = self.headers

    def add_target(self, part: bytes) -> None:
        self.target += part
        if len(self.target) > self._limits.target_bytes:
            raise too_large(f"The request target is longer than {self._limits.target_bytes} bytes.")

    def weigh(self) -> None:
        """Bound the fields that have come: called where they are complete, and after a read that ends before."""
        limits, new = self._limits, self.fields[self._weighed :]
        count = len(new)
        self._weighed += count
        self._count += count
        self._size += len(b"".join(chain.from_iterable(new))) + 4 * count
        if self._size > limits.head_bytes or self._count > limits.header_fields:
            raise self.too_large()

    def check(self, version: str) -> None:
        """Called once, when all fields of the head are there."""
        self.fields = []
        self._weighed = 0
        if version != "1.1" and version != "1.0":
            raise invalid(f"HTTP/{version} is not served here: use HTTP/1.1.")
        headers = self.headers
        fields = dict(headers)
        if b"transfer-encoding" in fields:
            self._check_coding(version)
        if not self.target.startswith(b"/") or b"#" in self.target:
            raise invalid("The request target must be a path that starts with `/`.")
        if b"host" not in fields or len(fields) < len(headers):
            self._check_host(version)
        if b"expect" in fields:
            self.expects_continue = fields[b"expect"].strip().lower() == b"100-continue"

    def too_large(self) -> Refusal:
        size, fields = self._limits.head_bytes, self._limits.header_fields
        return too_large(f"The headers are larger than {size} bytes or more than {fields}.")

    def scope(self, method: str, version: str, server: Address | None, client: Address | None) -> Scope:
        raw_path, _, query = self.target.partition(b"?")
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "scheme": "http",
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "server": server,
            "client": client,
            "state": {},
        }

    @property
    def wants_socket(self) -> bool:
        """Whether a WebSocket is asked for."""
        return any(b"websocket" in value.lower() for name, value in self.headers if name == b"upgrade")

    def check_upgrade(self, method: bytes, version: str, *, sockets: bool) -> None:
        """Refuse what cannot go on as plain HTTP; an offer of h2c can. sockets: WebSockets are served here."""
        if method == b"CONNECT":
            raise invalid("This server is no proxy: CONNECT is not served here.")
        if not self.wants_socket:
            return
        if not sockets:
            raise Refusal(Kind.NOT_FOUND, "No WebSocket is served at this address.")
        if method != b"GET":
            raise invalid("A WebSocket begins with GET.")
        self.check(version)

    def without_upgrade(self, method: bytes, version: str, keep_alive: bool) -> bytes:
        """The same head as bytes, less the offer to upgrade."""
        lines = [b"%b %b HTTP/%b\r\n" % (method, self.target, version.encode())]
        lines += [b"%b: %b\r\n" % field for field in self.headers if field[0] not in _OF_AN_UPGRADE]
        return b"".join([*lines, b"\r\n" if keep_alive else b"connection: close\r\n\r\n"])

    def _all(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each == name]

    def _check_host(self, version: str) -> None:
        hosts = len(self._all(b"host"))
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise invalid(f"A request has one Host header, this one has {hosts}.")

    def _check_coding(self, version: str) -> None:
        first, *others = self._all(b"transfer-encoding")
        if others or first.strip().lower() != b"chunked":
            raise invalid("Transfer-Encoding must be `chunked`, once.")
        if version == "1.0":
            raise invalid("HTTP/1.0 knows no Transfer-Encoding: send Content-Length.")
