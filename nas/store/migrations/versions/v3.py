"""Version 3: what the evaluator said of how it measured."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Add the notes of an evaluation."""
    op.add_column("nas_evaluations", sa.Column("notes", sa.JSON()))
