"""Version 6: what a study's predictions of latency are bound to, and what was measured of them."""

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"


def upgrade() -> None:
    """Add the binding of a study, and the table of measured latencies."""
    op.add_column("nas_studies", sa.Column("latency", sa.JSON()))
    op.create_table(
        "nas_latencies",
        sa.Column(
            "study_id",
            sa.Integer,
            sa.ForeignKey("nas_studies.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.Column("timing", sa.JSON, nullable=False),
        sa.Column("measured", sa.String(32), nullable=False),
    )
