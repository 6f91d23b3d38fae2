"""A TCP proxy between a client and a server, for tests of what a network does: cuts, silence, slowness."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self

from hive_testing.servers.ports import HOST, free_port

CHUNK = 64 * 1024
CHUNKS_UNDER_WAY = 256
PATIENCE = 10.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """`with TcpProxy("127.0.0.1:5432") as proxy:` forwards from `proxy.address`, in a thread of its own.

    The methods may be called from any thread and return when what they say is so.
    """

    def __init__(self, target: str, *, port: int | None = None) -> None:
        """target: `host:port`. port: where to listen on loopback; None: a free one, kept while this exists."""
        host, _, number = target.rpartition(":")
        self.port = port or free_port()
        self._target = (host, int(number))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy of {target}", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._open = asyncio.Event()
        self._delays = {"to_target": 0.0, "to_client": 0.0}
        self._accepted = 0

    @property
    def address(self) -> str:
        """`host:port`, for clients."""
        return f"{HOST}:{self.port}"

    @property
    def accepted(self) -> int:
        """Connections that clients have made since the start."""
        return self._accepted

    def __enter__(self) -> Self:
        self._thread.start()
        self.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._cut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection and refuse new ones, until `restore`."""
        self._run(self._cut)

    def reset(self) -> None:
        """Reset every connection; new ones are welcome."""
        self._run(self._reset)

    def stall(self) -> None:
        """Half-open, until `restore`: connections are accepted and stay, no byte passes. None is lost by it."""
        self._run(self._stall)

    def restore(self) -> None:
        """Forward again: what a stall has held back goes on, what a cut refused is accepted."""
        self._run(self._restore)

    def delay(self, *, to_target: float = 0.0, to_client: float = 0.0) -> None:
        """Seconds that each chunk takes from now on, by direction; their order stays."""
        self._delays = {"to_target": to_target, "to_client": to_client}

    def _run(self, action: Callable[[], Coroutine[None, None, None]]) -> None:
        asyncio.run_coroutine_threadsafe(action(), self._loop).result(PATIENCE)

    async def _restore(self) -> None:
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=CHUNK)

    async def _stall(self) -> None:
        self._open.clear()

    async def _cut(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        tasks = [*self._connections]
        for task, writers in self._connections.items():
            for writer in writers:
                abort(writer)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._accepted += 1
        writers = self._connections[task] = [writer]
        try:
            there, target = await self._connect()
            writers.append(target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, target, "to_target"))
                group.create_task(self._forward(there, writer, "to_client"))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            for each in writers:
                abort(each)
        finally:
            del self._connections[task]
            for each in writers:
                each.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._target, limit=CHUNK)

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: str
    ) -> None:
        """Chunk by chunk, each at its time; the end travels like a chunk."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_UNDER_WAY)

        async def take() -> None:
            data = b"first"
            while data:
                data = await source.read(CHUNK)
                await under_way.put((loop.time() + self._delays[direction], data))

        async def bring() -> None:
            while True:
                due, data = await under_way.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self._open.wait()
                if not data:
                    break
                sink.write(data)
                await sink.drain()
            sink.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(take())
            group.create_task(bring())


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset: what was not sent is thrown away."""
    connection: socket.socket = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
