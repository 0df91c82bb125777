"""Version 5: several drivers of a study, lost commits, checkpoints between rungs."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"


def upgrade() -> None:
    """Add what drivers side by side account for, and what a trial keeps between two runs."""
    op.add_column(
        "nas_studies", sa.Column("accounted", sa.Float, nullable=False, server_default="0")
    )
    op.add_column("nas_runs", sa.Column("step", sa.Integer, nullable=False, server_default="0"))
    op.add_column("nas_trials", sa.Column("twin", sa.Integer))
    op.add_column("nas_trials", sa.Column("checkpoint", sa.JSON()))
    op.add_column("nas_trials", sa.Column("deaths", sa.Integer, nullable=False, server_default="0"))
