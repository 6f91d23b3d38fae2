"""What stands in front of several edges: each connection goes to the next of them that takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from hive_testing.servers.proxy import CHUNK, TcpProxy


class Balancer(TcpProxy):
    """A `TcpProxy` with more than one target, as a cluster's service address is."""

    def __init__(self, targets: Sequence[str]) -> None:
        """targets: `host:port` each."""
        super().__init__(targets[0])
        self._targets = deque(targets)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(len(self._targets)):
            self._targets.rotate(-1)
            host, _, port = self._targets[-1].rpartition(":")
            try:
                return await asyncio.open_connection(host, int(port), limit=CHUNK)
            except ConnectionRefusedError:
                continue
        raise ConnectionRefusedError("no edge takes connections")
