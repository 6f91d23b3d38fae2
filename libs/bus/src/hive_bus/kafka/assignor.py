"""Who of a group gets which partitions: evenly, and as few as possible move, those least where work runs.

aiokafka's own sticky assignor keeps what it knows in its class, so that two consumers of one process mix.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

_PARTITION = struct.Struct(">i")


class KeepingAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """owned: the partitions of the topic that this member has, the busiest first; asked at each rebalance."""

    name = "modelhive-keeping"

    def __init__(self, owned: Callable[[], Iterable[int]]) -> None:
        self._owned = owned

    def metadata(self, topics: Iterable[str]) -> Any:
        owned = b"".join(_PARTITION.pack(partition) for partition in self._owned())
        return ConsumerProtocolMemberMetadata(0, list(topics), owned)

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        by_topic: dict[str, dict[str, list[int]]] = defaultdict(dict)
        for member, metadata in members.items():
            owned = [number for (number,) in _PARTITION.iter_unpack(metadata.user_data or b"")]
            for topic in metadata.subscription:
                by_topic[topic][member] = owned
        assigned: dict[str, list[tuple[str, list[int]]]] = {member: [] for member in members}
        for topic, owned_by in by_topic.items():
            partitions = cluster.partitions_for_topic(topic) or ()
            for member, numbers in shares(partitions, owned_by).items():
                assigned[member].append((topic, numbers))
        return {member: ConsumerProtocolMemberAssignment(0, parts, b"") for member, parts in assigned.items()}

    def on_assignment(self, assignment: Any) -> None:
        pass


def shares(partitions: Iterable[int], owned_by: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Each member's partitions. Sizes differ by one at most; a member keeps what it names first."""
    left = set(partitions)
    least, more = divmod(len(left), len(owned_by))
    found: dict[str, list[int]] = {}
    # Those who own most may keep the bigger shares.
    for member in sorted(owned_by, key=lambda each: (-len(owned_by[each]), each)):
        mine = [number for number in dict.fromkeys(owned_by[member]) if number in left]
        size = least + (1 if more and len(mine) > least else 0)
        more -= size - least
        found[member] = mine[:size]
        left -= set(found[member])
    free = iter(sorted(left))
    for member in sorted(found, key=lambda each: (len(found[each]), each)):
        size = least
        if len(found[member]) <= least and more:
            size, more = least + 1, more - 1
        found[member] += [number for _, number in zip(range(size - len(found[member])), free, strict=False)]
    return found
