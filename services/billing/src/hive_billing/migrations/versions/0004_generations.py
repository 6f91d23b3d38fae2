"""How often all that a holder had was freed since it was not heard of."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("holders", sa.Column("generation", sa.BigInteger, nullable=False, server_default="0"))
