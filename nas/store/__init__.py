"""The study in SQL: our tables and, beside them, Optuna's, in one database.

`Store` reads (what people and scripts look at), `Ledger` writes (one driver's side of one study),
`OptunaTwin` keeps Optuna's own tables in step. Importing this package imports neither torch nor
optuna.
"""

from nas.store.engine import StoreError, StoreFailedError, hidden_password
from nas.store.read import Store

__all__ = ["Store", "StoreError", "StoreFailedError", "hidden_password"]
