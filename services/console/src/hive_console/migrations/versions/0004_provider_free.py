"""Providers that cost nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("providers", sa.Column("free", sa.Boolean, nullable=False, server_default=sa.false()))
