"""Requests with an `Idempotency-Key`: each runs once, and is answered again with the answer that it got."""

from hive_routing.idempotency.owners import Owners
from hive_routing.idempotency.records import Claim, Fresh, Record, Replay, Scope, hash_body, read_key
from hive_routing.idempotency.store import MIGRATIONS, IdempotencyStore

__all__ = [
    "MIGRATIONS",
    "Claim",
    "Fresh",
    "IdempotencyStore",
    "Owners",
    "Record",
    "Replay",
    "Scope",
    "hash_body",
    "read_key",
]
