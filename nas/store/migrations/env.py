"""What alembic runs to migrate: all steps within the transaction of the connection it is given."""

from typing import Any

import sqlalchemy as sa
from alembic import context


def _keep_in_step(ctx: Any, step: Any, *_: Any, **__: Any) -> None:
    """`nas_database.version` is what programs read that know nothing of alembic."""
    change = sa.text("UPDATE nas_database SET version = :version")
    ctx.connection.execute(change, {"version": int(step.up_revision_id)})


context.configure(
    connection=context.config.attributes["connection"],
    # Optuna's tables, in the same database, have an `alembic_version` of their own.
    version_table="nas_alembic_version",
    on_version_apply=_keep_in_step,
)
with context.begin_transaction():
    context.run_migrations()
