"""A broker's URL, and what clients are made with.

kafka://h1:9092,h2:9092?session_ms=6000&max_poll_ms=60000
kafka+ssl://user:password@h1:9093?mechanism=SCRAM-SHA-512&ca=/etc/kafka/ca.pem
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEMES = ("kafka", "kafka+ssl")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_NUMBERS = {
    "session_ms": (1_000, 300_000),
    "max_poll_ms": (1_000, 3_600_000),
    "request_bytes": (10_000, 100_000_000),
}
_WORDS = ("mechanism", "ca", "cert", "key")
_DEFAULT_PORT = 9092


class BadAddress(ValueError):
    """The URL says something that no client can be made of; the words are for the operator."""


@dataclass(frozen=True, slots=True)
class Address:
    """What the URL says.

    servers: `host:port` of each broker to ask first.
    session_ms: how long a consumer may be silent before others get its partitions.
    max_poll_ms: how long the loop that takes records may stand still before its process gives them up.
    request_bytes: the largest record; the broker's `message.max.bytes` must allow it.
    """

    servers: tuple[str, ...]
    secure: bool = False
    user: str = ""
    password: str = ""
    mechanism: str = "PLAIN"
    ca: str = ""
    cert: str = ""
    key: str = ""
    session_ms: int = 6_000
    max_poll_ms: int = 60_000
    request_bytes: int = 1_000_000

    @property
    def words(self) -> str:
        """The brokers' names, for messages: no secret in it."""
        return ", ".join(self.servers)

    def connection(self, client_id: str) -> dict[str, Any]:
        """Arguments of every client of the library. Raises BadAddress where certificates cannot be read."""
        found: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "client_id": client_id,
            "security_protocol": ("SASL_" if self.user else "") + ("SSL" if self.secure else "PLAINTEXT"),
            # New partitions and topics are noticed within this time.
            "metadata_max_age_ms": 30_000,
        }
        if not self.user:
            found["security_protocol"] = "SSL" if self.secure else "PLAINTEXT"
        else:
            found |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        if self.secure:
            found["ssl_context"] = self._tls()
        return found

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except (OSError, ssl.SSLError) as error:
            raise BadAddress(f"the certificates of the broker's URL cannot be used: {error}") from None
        return context


def address_of(url: str) -> Address:
    """Read a URL. Raises BadAddress."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise BadAddress(f"{parts.scheme}:// is no broker: use kafka://host:port or kafka+ssl://host:port")
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    servers = tuple(_server(host.strip()) for host in hosts.split(",") if host.strip())
    if not servers:
        raise BadAddress("the broker's URL names no host: kafka://host:port,host:port")
    options: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        options[name] = _option(name, value)
    return Address(servers, parts.scheme == "kafka+ssl", unquote(user), unquote(password), **options)


def _server(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or name.endswith(":") or host.endswith("]"):
        return f"{host}:{_DEFAULT_PORT}"
    if not port.isdecimal() or not name:
        raise BadAddress(f"{host!r} is no host:port of a broker")
    return host


def _option(name: str, value: str) -> int | str:
    if name in _NUMBERS:
        least, most = _NUMBERS[name]
        if not value.isdecimal() or not least <= int(value) <= most:
            raise BadAddress(f"{name}={value} in the broker's URL must be between {least} and {most}")
        return int(value)
    if name == "mechanism" and value not in _MECHANISMS:
        raise BadAddress(f"mechanism={value} in the broker's URL: use one of {', '.join(_MECHANISMS)}")
    if name not in _WORDS:
        known = ", ".join([*_NUMBERS, *_WORDS])
        raise BadAddress(f"{name}={value} in the broker's URL is unknown: it takes {known}")
    return value
