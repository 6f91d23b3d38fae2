"""What kinds of providers want to know beside an address."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("providers", sa.Column("options", sa.JSON, nullable=False, server_default="{}"))
