"""What an API key may do per minute and at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name in ("rpm", "tpm", "concurrency"):
        op.add_column("api_keys", sa.Column(name, sa.BigInteger))
