"""HTTP as ClickHouse speaks it: the statement in the body or the URL, all the rest in parameters and headers."""

from __future__ import annotations

import email
import gzip
import json
import sys
import zlib
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pyarrow as pa  # type: ignore[import-untyped]

from hive_testing.servers.clickhouse_front.engine import Engine, Outcome, Question, Refused

MAX_BODY = 512 * 1024 * 1024
UNSUPPORTED_METHOD, UNKNOWN_COMPRESSION_METHOD, BAD_REQUEST = 48, 89, 62
# Parameters that are for the door and not for the engine.
NO_SETTINGS = {
    "query", "database", "default_format", "session_id", "session_timeout", "session_check", "query_id", "quota_key",
    "user", "password", "role", "compress", "decompress", "buffer_size", "wait_end_of_query",
    "client_protocol_version", "enable_http_compression", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close",
}  # fmt: skip
STATUS_OF_CODE = {
    6: 400, 26: 400, 27: 400, 38: 400, 41: 400, 53: 400, 62: 400, 72: 400,
    46: 404, 47: 404, 50: 404, 60: 404, 81: 404, 115: 404,
    48: 501, 89: 400, 159: 408, 164: 403, 373: 500, 497: 403, 516: 403,
}  # fmt: skip


class Bad(Refused):
    """The request is not understood."""


class Door(BaseHTTPRequestHandler):
    engine: Engine
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ClickHouse", ""
    timeout = 600

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        if where.path in ("/ping", "/replicas_status") or not where.query:
            self._send(200, {"Content-Type": "text/plain; charset=UTF-8"}, b"Ok.\n")
        else:
            self._answer(b"")

    def do_POST(self) -> None:
        try:
            body = self._body()
        except Refused as error:
            self.close_connection = True  # what is left of the body is not a request
            self._refuse(error)
        else:
            self._answer(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not told."""

    def _answer(self, body: bytes) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        query_id = parameters.get("query_id") or str(uuid4())
        try:
            outcome = self.engine.answer(self._question(parameters, body))
        except Refused as error:
            self._refuse(error, query_id)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            self._refuse(
                Refused(1002, f"Code: 1002. DB::Exception: the front failed: {error!r}. (UNKNOWN_EXCEPTION)")
            )
        else:
            self._send(200, headers_of(outcome, query_id), outcome.data)

    def _question(self, parameters: dict[str, str], body: bytes) -> Question:
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            parameters |= fields(kind, body)
            body = b""
        text = b"\n".join(part for part in (parameters.get("query", "").encode(), body) if part)
        if not text.strip():
            raise Bad(
                BAD_REQUEST, f"Code: {BAD_REQUEST}. DB::Exception: Syntax error: Empty query. (SYNTAX_ERROR)"
            )
        prefix = "param_"
        return Question(
            text,
            parameters.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated",
            parameters.get("database") or self.headers.get("X-ClickHouse-Database") or "",
            parameters.get("session_id", ""),
            {
                name.removeprefix(prefix): value
                for name, value in parameters.items()
                if name.startswith(prefix)
            },
            {
                name: value
                for name, value in parameters.items()
                if name not in NO_SETTINGS and not name.startswith(prefix)
            },
            is_read_only=self.command == "GET",
        )

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._chunks()
        else:
            body = self._exactly(int(self.headers.get("Content-Length") or 0))
        return uncompressed(body, self.headers.get("Content-Encoding", ""))

    def _chunks(self) -> bytes:
        parts, total = [], 0
        while size := int(self.rfile.readline(1024).split(b";")[0] or b"0", 16):
            total += size
            parts.append(self._exactly(size, total))
            self.rfile.readline(3)
        while self.rfile.readline(65536).strip():
            pass  # trailers
        return b"".join(parts)

    def _exactly(self, size: int, total: int = 0) -> bytes:
        if max(size, total) > MAX_BODY:
            raise Bad(
                BAD_REQUEST, f"Code: {BAD_REQUEST}. DB::Exception: the body is too large. (SYNTAX_ERROR)"
            )
        data = self.rfile.read(size)
        if len(data) < size:
            raise Bad(BAD_REQUEST, f"Code: {BAD_REQUEST}. DB::Exception: the body has no end. (SYNTAX_ERROR)")
        return data

    def _refuse(self, error: Refused, query_id: str = "") -> None:
        headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
        headers["Content-Type"] = "text/plain; charset=UTF-8"
        self._send(
            STATUS_OF_CODE.get(error.code, 500), headers, f"{error.message}\n".encode(errors="replace")
        )

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def door(of: Engine) -> type[Door]:
    """The handler of a server over this engine."""

    class Bound(Door):
        engine = of

    return Bound


def headers_of(outcome: Outcome, query_id: str) -> dict[str, str]:
    rows = {
        "read_rows": outcome.read_rows,
        "written_rows": outcome.written_rows,
        "result_bytes": len(outcome.data),
    }
    headers = {
        "Content-Type": "application/octet-stream",
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": json.dumps({name: str(count) for name, count in rows.items()}),
    }
    return headers | ({"X-ClickHouse-Format": outcome.format} if outcome.format else {})


def uncompressed(body: bytes, encoding: str) -> bytes:
    """encoding: as in Content-Encoding; raises Bad for one that is unknown, or where the body is not of it."""
    try:
        match encoding.lower():
            case "" | "identity":
                return body
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
            case "lz4" | "zstd" as name:
                stream = pa.input_stream(pa.BufferReader(body), compression=name)
                return bytes(stream.read())
    except (OSError, zlib.error, EOFError) as error:
        raise Bad(
            BAD_REQUEST, f"Code: {BAD_REQUEST}. DB::Exception: {encoding}: {error}. (SYNTAX_ERROR)"
        ) from None
    code = UNKNOWN_COMPRESSION_METHOD
    raise Bad(code, f"Code: {code}. DB::Exception: unknown encoding {encoding}. (UNKNOWN_COMPRESSION_METHOD)")


def fields(kind: str, body: bytes) -> dict[str, str]:
    """The values of a form."""
    form = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    found: dict[str, str] = {}
    for part in form.get_payload() if form.is_multipart() else []:
        assert isinstance(part, Message)
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        found[str(part.get_param("name", header="content-disposition"))] = value.decode()
    return found
