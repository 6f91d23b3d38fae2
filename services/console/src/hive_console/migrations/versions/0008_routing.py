"""How models' deployments are chosen, their other names, and models for long prompts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for name in ("aliases", "context_fallbacks"):
        op.add_column("models", sa.Column(name, sa.JSON, nullable=False, server_default="[]"))
    op.add_column("models", sa.Column("routing", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("deployments", sa.Column("order", sa.Integer, nullable=False, server_default="0"))
    op.add_column("deployments", sa.Column("region", sa.String(64)))
    op.add_column("deployments", sa.Column("rpm", sa.BigInteger))
    op.add_column("deployments", sa.Column("tpm", sa.BigInteger))
