"""Answers that are kept, those that are made in the background, and conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _answers()
    _runs()
    _conversations()


def _answers() -> None:
    op.create_table(
        "stored_answers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant_id", sa.String, nullable=False),
        sa.Column("wire", sa.String, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("background", sa.Boolean, nullable=False),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("previous", sa.String),
        sa.Column("conversation", sa.String),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_stored_answers_created", "stored_answers", ["created_ms"])
    op.create_table(
        "stored_items",
        _of("stored_answers.id", "answer_id"),
        sa.Column("item_id", sa.String, primary_key=True),
    )
    op.create_index("ix_stored_items_item", "stored_items", ["item_id"])


def _runs() -> None:
    op.create_table(
        "stored_runs",
        _of("stored_answers.id", "answer_id"),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("dispatched", sa.Boolean, nullable=False),
        sa.Column("queued_ms", sa.BigInteger, nullable=False),
        sa.Column("job", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_stored_runs_owner", "stored_runs", ["owner", "queued_ms"])
    op.create_table(
        "stored_events",
        _of("stored_answers.id", "answer_id"),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("events", sa.LargeBinary, nullable=False),
    )


def _conversations() -> None:
    op.create_table(
        "stored_conversations",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant_id", sa.String, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "stored_conversation_items",
        _of("stored_conversations.id", "conversation_id"),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.String, nullable=False),
        sa.Column("item", sa.LargeBinary, nullable=False),
    )
    name = "ix_stored_conversation_items_item"
    op.create_index(name, "stored_conversation_items", ["conversation_id", "item_id"], unique=True)


def _of(table: str, name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String, sa.ForeignKey(table, ondelete="CASCADE"), primary_key=True)
