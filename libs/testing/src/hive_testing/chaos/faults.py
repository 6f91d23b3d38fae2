"""Breaks what the plan says, undoes it, and starts again what ended by itself, as those who run clusters do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from hive_testing.chaos.plan import BROKER, POSTGRES, REDIS, SERVERS, Blow, Fault
from hive_testing.cluster import Cluster, Replica
from hive_testing.servers.kafka import SIDE_DOORS, KafkaProxy
from hive_testing.servers.server import Server

LOOK_SECONDS = 0.5
LINES_OF_END = 12


@contextmanager
def own_ways_to_the_broker(cluster: Cluster) -> Iterator[dict[str, KafkaProxy]]:
    """Give processes, before they are started, a way to the broker that can be cut; as many as there are doors."""
    with ExitStack() as stack:
        ways: dict[str, KafkaProxy] = {}
        for replica in (
            *cluster.of("routing"),
            *cluster.of("edge"),
            *cluster.of("billing"),
            *cluster.of("analytics"),
        ):
            if len(ways) == SIDE_DOORS:
                break
            way = stack.enter_context(cluster.backing.kafka.proxied())
            _, _, options = cluster.environment["HIVE_BUS_URL"].partition("?")
            replica.configure(cluster.environment | {"HIVE_BUS_URL": f"{way.url}?{options}"})
            ways[replica.name] = way
        yield ways


@dataclass
class Disturber:
    """exits: what processes said last that ended without being killed."""

    cluster: Cluster
    ways: Mapping[str, KafkaProxy]
    exits: list[str] = field(default_factory=list)
    _down: set[str] = field(default_factory=set)
    _edges_away: set[str] = field(default_factory=set)
    _edge_changes: int = 0

    def lost_edges(self) -> tuple[int, int]:
        """How often an edge went or came, and how many are away now."""
        return self._edge_changes, len(self._edges_away)

    async def carry_out(self, plan: Sequence[Fault]) -> None:
        """All of it at its times; each thing is done before the next, however long that takes."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        steps = [(fault.at, fault, True) for fault in plan]
        steps += [(fault.at + fault.seconds, fault, False) for fault in plan]
        for at, fault, begins in sorted(steps, key=lambda step: step[0]):
            await self.rest_until(start + at)
            if begins:
                print(fault, flush=True)
            await (self._begin(fault) if begins else self._end(fault))

    async def rest_until(self, moment: float) -> None:
        """moment: of the event loop's clock."""
        while asyncio.get_running_loop().time() < moment:
            await self._look_after()
            await asyncio.sleep(LOOK_SECONDS)

    async def restore(self) -> None:
        """All is whole again, and ready."""
        for way in self.ways.values():
            await asyncio.to_thread(way.restore)
        await asyncio.to_thread(self.cluster.restore)
        self._down.clear()
        await self._look_after()

    async def _begin(self, fault: Fault) -> None:
        match fault.blow:
            case Blow.CUT:
                await asyncio.to_thread(self._way(fault).cut)
            case Blow.SILENCE:
                await asyncio.to_thread(self._way(fault).stall)
            case Blow.PAUSE:
                await asyncio.to_thread(self.cluster[fault.victim].pause)
            case Blow.KILL if fault.victim in SERVERS:
                await asyncio.to_thread(self._server(fault.victim).kill)
            case Blow.KILL:
                self._down.add(fault.victim)
                self._note_gone(self.cluster[fault.victim])
                await asyncio.to_thread(self.cluster[fault.victim].kill)

    async def _end(self, fault: Fault) -> None:
        match fault.blow:
            case Blow.CUT | Blow.SILENCE:
                await asyncio.to_thread(self._way(fault).restore)
            case Blow.PAUSE:
                await asyncio.to_thread(self.cluster[fault.victim].resume)
            case Blow.KILL if fault.victim in SERVERS:
                await asyncio.to_thread(self._server(fault.victim).start)
            case Blow.KILL:
                self._down.discard(fault.victim)
                await asyncio.to_thread(self.cluster[fault.victim].spawn)

    async def _look_after(self) -> None:
        for name, replica in self.cluster.replicas.items():
            if replica.pid is None and name not in self._down:
                lines = replica.log.splitlines()[-LINES_OF_END:]
                self.exits.append("\n".join([f"{name} ended by itself:", *lines]))
                self._note_gone(replica)
                await asyncio.to_thread(replica.spawn)
        for name in [*self._edges_away]:
            if name not in self._down and await asyncio.to_thread(self.cluster[name].is_ready):
                self._edges_away.discard(name)
                self._edge_changes += 1

    def _note_gone(self, replica: Replica) -> None:
        if replica.service == "edge":
            self._edges_away.add(replica.name)
            self._edge_changes += 1

    def _way(self, fault: Fault) -> KafkaProxy:
        return self.ways[fault.victim]

    def _server(self, name: str) -> Server:
        backing = self.cluster.backing
        servers: dict[str, Server] = {BROKER: backing.kafka, REDIS: backing.redis, POSTGRES: backing.postgres}
        return servers[name]
