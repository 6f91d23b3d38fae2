"""The bus within one process: bounded queues per consumer group, compacted topics, nothing on disk."""

from hive_bus.memory.bus import MemoryBus

__all__ = ["MemoryBus"]
