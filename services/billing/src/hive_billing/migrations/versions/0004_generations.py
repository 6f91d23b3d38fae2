"""How often all that a holder had was freed since it was not heard of, and which usage of it is not waited for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("generation", "given_up"):
        op.add_column("holders", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
