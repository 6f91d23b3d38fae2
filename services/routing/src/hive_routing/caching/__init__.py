"""Answers that are given twice: from a cache of exact responses, and to equal requests that are under way."""

from hive_routing.caching.flights import Flights, Following, Leading, Opening
from hive_routing.caching.keys import cache_key
from hive_routing.caching.store import Cache, Entry, Local, Port, Stats
from hive_routing.caching.valkey import Shared

__all__ = [
    "Cache",
    "Entry",
    "Flights",
    "Following",
    "Leading",
    "Local",
    "Opening",
    "Port",
    "Shared",
    "Stats",
    "cache_key",
]
