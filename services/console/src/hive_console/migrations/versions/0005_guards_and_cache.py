"""Guard policies of tenants and keys, and what answers are kept for tenants."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("cache", sa.JSON, nullable=False, server_default="{}"))
    op.create_table(
        "guard_policies",
        sa.Column("id", sa.String(130), primary_key=True),
        sa.Column(
            "tenant_id", sa.String(64), sa.ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("key_id", sa.String(64), sa.ForeignKey("api_keys.id", ondelete="CASCADE")),
        sa.Column("rules", sa.JSON, nullable=False),
        sa.Column("denied_words", sa.JSON, nullable=False),
        sa.Column("locked", sa.JSON, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_guard_policies_tenant_id", "guard_policies", ["tenant_id"])
