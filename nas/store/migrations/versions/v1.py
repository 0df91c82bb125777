"""Version 1: the first tables. Databases before alembic begin at the version that they say."""

revision = "1"
down_revision = None


def upgrade() -> None:
    """Nothing: no database is older."""
