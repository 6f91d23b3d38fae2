"""How tenants pay, what keys may spend, and the budgets that are on their way."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Who called before there was any billing goes on to: nothing is refused for lack of credit.
    metered = sa.Column("billing", sa.JSON, nullable=False, server_default='{"mode": "metered"}')
    op.add_column("tenants", metered)
    op.add_column("api_keys", sa.Column("has_budget", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("api_keys", sa.Column("caps", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("api_keys", sa.Column("auto_recharge", sa.JSON(none_as_null=True)))
    op.create_table(
        "moving_budgets",
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
    )
