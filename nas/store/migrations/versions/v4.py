"""Version 4: the evaluator's notes of what failed, which is in no row of the evaluations."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Add the notes of a trial that failed."""
    op.add_column("nas_trials", sa.Column("evaluated", sa.JSON()))
