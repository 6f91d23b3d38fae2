"""Serve the engine on a port of loopback until SIGTERM."""

from __future__ import annotations

import signal
import sys
from http.server import ThreadingHTTPServer
from types import FrameType

from hive_testing.servers.clickhouse_front.door import door
from hive_testing.servers.clickhouse_front.engine import Engine
from hive_testing.servers.ports import HOST


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    folder, port = sys.argv[1], int(sys.argv[2])
    signal.signal(signal.SIGTERM, leave)
    with Engine(folder) as engine, Server((HOST, port), door(engine)) as server:
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
