"""STATE that outlasts the bus: kept on disk, and heard from its owner too. See `SnapshotBus`."""

from hive_bus.snapshots.bus import SnapshotBus
from hive_bus.snapshots.source import Portion, Record, Source

__all__ = ["Portion", "Record", "SnapshotBus", "Source"]
