"""The start of the commands that go through a study: what takes long to import, at once."""


def load_for(*, trains: bool) -> None:
    """Import what a study needs.

    Args:
        trains: whether it has a dataset; one that looks its results up needs far less.
    """
    from evaluators.loading import TRAINING, load
    from nas.store.optuna_tables import LIBRARIES

    load("nas.study", *LIBRARIES, *(TRAINING if trains else ()))


def load_for_stored(storage: str, name: str) -> None:
    """The same for a study of a database.

    Raises:
        UsageError: no such study.
    """
    from nas.store import Store

    load_for(trains=Store.open_existing(storage).spec(name).get("dataset") is not None)
