"""The limiter of many processes: their keys' counters are at one Valkey server, and each change is one step there."""

from hive_edge.valkey.limiter import ValkeyLimiter

__all__ = ["ValkeyLimiter"]
