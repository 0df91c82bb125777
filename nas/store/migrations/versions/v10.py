"""Version 10: what a comparison sought."""

import sqlalchemy as sa
from alembic import op

revision = "10"
down_revision = "9"


def upgrade() -> None:
    """Add the objectives of comparisons; those of earlier ones are not known."""
    op.add_column("nas_comparisons", sa.Column("objectives", sa.JSON(none_as_null=True)))
