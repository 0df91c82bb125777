"""Steps from one version of our tables to the next, run by alembic.

One file a version in `versions/`; what has been released there is never changed. A new database is
made from `nas.store.schema` at once; that both ways lead to the same tables is tested.
"""
