"""Version 7: preparations, what a proposal was made from, and how weights are taken over."""

import sqlalchemy as sa
from alembic import op

revision = "7"
down_revision = "6"


def upgrade() -> None:
    """Add the tables of preparations, and two columns of trials."""
    op.add_column("nas_trials", sa.Column("inherit_by", sa.String(255)))
    op.add_column("nas_trials", sa.Column("prepared", sa.String(64)))
    op.create_table(
        "nas_preparations",
        _study(),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("plugin", sa.JSON, nullable=False),
        sa.Column("epochs", sa.Integer, nullable=False),
        sa.Column("passes", sa.Float, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("artifact", sa.String(64)),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("run_id", sa.String(32)),
    )
    op.create_table(
        "nas_preparation_epochs",
        _study(),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("distribution", sa.JSON, nullable=False),
    )


def _study() -> "sa.Column[int]":
    return sa.Column(
        "study_id",
        sa.Integer,
        sa.ForeignKey("nas_studies.id", ondelete="CASCADE"),
        primary_key=True,
    )
