"""Routing's table of requests with an `Idempotency-Key`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, SmallInteger, String, Table

metadata = MetaData()

# scope: a hash. outcome: MessagePack, once it is done.
records = Table(
    "idempotency_records",
    metadata,
    Column("scope", LargeBinary(32), primary_key=True),
    Column("body_hash", LargeBinary(32), nullable=False),
    Column("claim", String(32), nullable=False),
    Column("owner", String, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("outcome", LargeBinary),
)
Index("ix_idempotency_records_changed", records.c.changed_ms)

# One row for each start of a process, until it ends or is long silent. beat_ms: by the database's clock.
owners = Table(
    "idempotency_owners",
    metadata,
    Column("owner", String, primary_key=True),
    Column("beat_ms", BigInteger, nullable=False),
)
