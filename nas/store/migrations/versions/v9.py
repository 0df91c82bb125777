"""Version 9: the bundles that were written of trials."""

import sqlalchemy as sa
from alembic import op

revision = "9"
down_revision = "8"


def upgrade() -> None:
    """Add the table of bundles."""
    op.create_table(
        "nas_bundles",
        sa.Column(
            "study_id",
            sa.Integer,
            sa.ForeignKey("nas_studies.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("formats", sa.JSON, nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
    )
