"""Version 8: how well supernets rank."""

import sqlalchemy as sa
from alembic import op

revision = "8"
down_revision = "7"


def upgrade() -> None:
    """Add the table of rankings."""
    op.create_table(
        "nas_rankings",
        sa.Column(
            "study_id",
            sa.Integer,
            sa.ForeignKey("nas_studies.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("ranking", sa.JSON, nullable=False),
        sa.Column("measured", sa.String(32), nullable=False),
    )
