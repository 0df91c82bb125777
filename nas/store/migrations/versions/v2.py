"""Version 2: what a strategy said of its proposal; comparisons."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add the note of a trial and the table of comparisons; failures live in the trial's row."""
    op.add_column("nas_trials", sa.Column("note", sa.JSON()))
    op.create_table(
        "nas_comparisons",
        sa.Column("comparison", sa.String(32), primary_key=True),
        sa.Column("strategy", sa.String(32), primary_key=True),
        sa.Column("seed", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("study", sa.String(255), nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("trials", sa.Integer, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("trace", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
    )
    # The first tables of version 1 kept failures among the evaluations too.
    columns = sa.inspect(op.get_bind()).get_columns("nas_evaluations")
    if any(column["name"] == "failure" for column in columns):
        op.execute("DELETE FROM nas_evaluations WHERE failure IS NOT NULL")
        op.drop_column("nas_evaluations", "failure")
