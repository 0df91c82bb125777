"""Database URLs: which ones are accepted, and how they are shown."""

from urllib.parse import quote_plus

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from search_spaces import UsageError
from search_spaces.errors import did_you_mean

_EXAMPLES = '"sqlite:///nas.db" or "postgresql://user@host/database"'


class StoreError(UsageError):
    """A database that cannot be used, or a study that is not in it."""


def parse_url(storage: str) -> URL:
    """The URL with its driver, and with its password where SQLAlchemy does not show it.

    Raises:
        StoreError: it is no URL, another kind of database, or an in-memory one.
    """
    try:
        url = make_url(storage)
    except (sa.exc.ArgumentError, ValueError):  # no URL at all; a port that is no number
        raise StoreError(
            f"expected a database URL such as {_EXAMPLES}, got {_without_password(storage)!r}"
        ) from None
    if _is_ambiguous(url, storage):
        raise StoreError(
            f"expected one @ in the database's URL, got several in {hidden_password(storage)}: "
            "write %40 for the @ of a password, or keep it in PGPASSWORD or ~/.pgpass"
        )
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreError(
                'a study must outlive its process: expected a file, "sqlite:///nas.db", got a '
                "database in memory"
            )
        return url
    if backend in ("postgresql", "postgres"):
        return _with_password_in_place(url).set(drivername="postgresql+psycopg")
    raise StoreError(
        f'expected a database URL such as {_EXAMPLES}, got "{backend}://..."; '
        f"{did_you_mean(backend, ('sqlite', 'postgresql'))}"
    )


def _with_password_in_place(url: URL) -> URL:
    """`?password=...` moved to where `user:password@` has it."""
    given = url.query.get("password", ())
    last = given if isinstance(given, str) else "".join(given[-1:])
    moved = url.difference_update_query(["password"])
    return moved.set(password=last) if last else moved


def hidden_password(storage: str) -> str:
    """The URL for people to read: `***` in place of the password."""
    try:
        url = make_url(storage)
    except (sa.exc.ArgumentError, ValueError):
        return _without_password(storage)
    if _is_ambiguous(url, storage):
        return _without_password(storage)
    # A password can stand in the query too: postgresql://host/database?password=...
    url = url.update_query_dict({key: "***" for key in url.query if _is_secret(key)})
    return url.render_as_string(hide_password=True).replace(quote_plus("***"), "***")


def secrets(url: URL) -> tuple[str, ...]:
    """The passwords in a URL, which may stand in its query too."""
    found = [str(url.password or "")]
    for key in filter(_is_secret, url.query):
        value = url.query[key]
        found += [value] if isinstance(value, str) else value
    return tuple(filter(None, found))


def _is_secret(key: str) -> bool:
    return "password" in key.lower()


def _is_ambiguous(url: URL, storage: str) -> bool:
    """Whether it may be that the password has an @ in it, and so ends where nobody knows."""
    return url.get_backend_name() != "sqlite" and storage.count("@") > 1


def _without_password(storage: str) -> str:
    """Of what is no URL: all that can surely hold no password."""
    scheme, colon, _ = storage.partition("://")
    return f"{scheme}://***" if colon else storage
