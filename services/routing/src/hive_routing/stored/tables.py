"""Routing's tables of answers that are kept, of those that are made in the background, and of conversations."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
)

metadata = MetaData()

# input: JSON, as the client sent it. answer: JSON, as the client got it. size: bytes of both.
answers = Table(
    "stored_answers",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", String, nullable=False),
    Column("wire", String, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("background", Boolean, nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("previous", String),
    Column("conversation", String),
    Column("created_ms", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
)
Index("ix_stored_answers_created", answers.c.created_ms)

# Where an item stands that a client may name by its id alone.
items = Table(
    "stored_items",
    metadata,
    Column("answer_id", ForeignKey(answers.c.id, ondelete="CASCADE"), primary_key=True),
    Column("item_id", String, primary_key=True),
)
Index("ix_stored_items_item", items.c.item_id)

# One row for each answer that is still to be made. job: MessagePack. owner: empty while nobody works on it.
runs = Table(
    "stored_runs",
    metadata,
    Column("answer_id", ForeignKey(answers.c.id, ondelete="CASCADE"), primary_key=True),
    Column("owner", String, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("dispatched", Boolean, nullable=False),
    Column("queued_ms", BigInteger, nullable=False),
    Column("job", LargeBinary, nullable=False),
)
Index("ix_stored_runs_owner", runs.c.owner, runs.c.queued_ms)

# Events of a stream. number: of the first one in `events`, a MessagePack array of them.
events = Table(
    "stored_events",
    metadata,
    Column("answer_id", ForeignKey(answers.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("events", LargeBinary, nullable=False),
)

# metadata: JSON.
conversations = Table(
    "stored_conversations",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", String, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("metadata", LargeBinary, nullable=False),
)

# item: JSON, as it was said.
conversation_items = Table(
    "stored_conversation_items",
    metadata,
    Column("conversation_id", ForeignKey(conversations.c.id, ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("item_id", String, nullable=False),
    Column("item", LargeBinary, nullable=False),
)
Index(
    "ix_stored_conversation_items_item",
    conversation_items.c.conversation_id,
    conversation_items.c.item_id,
    unique=True,
)
