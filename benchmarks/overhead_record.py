"""The two sides of benchmarks/overhead.py, with records that were not run: written in bulk."""

import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, CategoricalDistribution
from trivial.evaluator import worth

from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import StudySpec, spec_from_mapping
from nas.store import Store
from nas.store.engine import engine_options, harden
from nas.store.new import NewStudy, create_study
from nas.store.schema import evaluations, studies, trials
from nas.store.twin import Twin
from search_spaces import Architecture, Task
from search_spaces.plugins import Plugin

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "outside"))
from fakes.postgres import PostgresServer, binaries

NAME = "overhead"


class DurableServer(PostgresServer):
    """A server that waits for its disk, as one does by default."""

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder}"
        self._control("-o", options, "start")


@dataclass(frozen=True)
class Databases:
    """Where databases are made: files of a folder, or those of a server."""

    folder: Path
    server: PostgresServer | None = None

    @property
    def kind(self) -> str:
        return "SQLite" if self.server is None else "PostgreSQL"

    def new(self, name: str) -> str:
        """The URL of a new one."""
        if self.server is None:
            return f"sqlite:///{self.folder / name}.db"
        self._command(f'CREATE DATABASE "{name}"')
        return self._url(name)

    def copy(self, storage: str, name: str) -> str:
        """The URL of a copy, with the settings that a database has by default."""
        url = sa.make_url(storage)
        if self.server is not None:
            self._command(f'CREATE DATABASE "{name}" TEMPLATE "{url.database}"')
            return self._url(name)
        file = self.folder / f"{name}.db"
        shutil.copy(str(url.database), file)
        connection = sqlite3.connect(file)
        connection.execute("pragma journal_mode=delete")
        connection.close()
        return f"sqlite:///{file}"

    def _url(self, name: str) -> str:
        if self.server is None:
            raise RuntimeError("files have no server")
        return self.server.url.removesuffix("postgres") + name

    def _command(self, statement: str) -> None:
        url = sa.make_url(self._url("postgres")).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()


@contextmanager
def databases(kind: str) -> Iterator[Databases | None]:
    """All on the disk of temporary files; None where there is no server of PostgreSQL."""
    programs = binaries()
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        if kind == "SQLite":
            yield Databases(Path(folder))
        elif programs is None:
            yield None
        else:
            server = DurableServer.create(programs)
            try:
                yield Databases(Path(folder), server)
            finally:
                server.remove()


def spec(strategy: str, trials_wanted: int, executor: Plugin | None = None) -> StudySpec:
    """A study that proposes and evaluates one by one."""
    tables: dict[str, dict[str, Any]] = {
        "study": {"name": NAME, "objectives": {"worth": "maximize"}, "batch": 1},
        "space": {"name": "trivial.space"},
        "strategy": {"name": strategy},
        "evaluator": {"name": "trivial.evaluator"},
        "budget": {"trials": trials_wanted},
        "executor": {"name": executor.name, **executor.options} if executor else {"name": "inline"},
    }
    return spec_from_mapping(tables, "benchmarks/overhead.py")


def filled(storage: str, strategy: str, count: int) -> float:
    """Make our study with so many ended trials; returns the seconds that its twins took."""
    setup, store = set_up(spec(strategy, count), Path()), Store(storage)
    new = NewStudy(
        name=NAME,
        spec=setup.spec.to_json(),
        space=setup.space.to_json(),
        task=_plain(setup.task),
        dataset="",
        start=(),
        target=count,
    )
    create_study(store, new)
    ended = [_ended(n, a) for n, a in enumerate(_architectures(setup, count))]
    with store.writing() as connection:
        connection.execute(sa.insert(trials), ended)
        connection.execute(sa.insert(evaluations), [_evaluation(setup, row) for row in ended])
        change = {"next_ordinal": count, "next_seq": count, "state": "finished"}
        connection.execute(sa.update(studies).values(change))
    twin = Twin(store, NAME, setup.space, setup.objectives)
    began = time.perf_counter()
    with store.writing() as connection:
        twin.repair(connection)
    seconds = time.perf_counter() - began
    with store.engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE" if store.engine.name == "postgresql" else "SELECT 1")
        connection.commit()
    store.engine.dispose()
    return seconds


def _plain(task: Task) -> dict[str, Any]:
    return dict(vars(task))


def _architectures(setup: Setup, count: int) -> list[Architecture]:
    rng, found = np.random.default_rng(0), dict[str, Architecture]()
    while len(found) < count:
        architecture = setup.space.sample(rng)
        found.setdefault(architecture.key, architecture)
    return list(found.values())


def _ended(number: int, architecture: Architecture) -> dict[str, Any]:
    return {
        "study_id": 1,
        "ordinal": number,
        "state": "complete",
        "last_seq": number - 1,
        "pending": [],
        "architecture": architecture.to_json(),
        "key": architecture.key,
        "seq": number,
        "cached": False,
        "metrics": {"worth": worth(architecture.choices)},
        "violation": 0.0,
        "epochs": 1,
        "seconds": 1.0,
        "deaths": 0,
    }


def _evaluation(setup: Setup, row: dict[str, Any]) -> dict[str, Any]:
    architecture = Architecture.from_json(row["architecture"])
    same = {key: row[key] for key in ("study_id", "ordinal", "metrics", "seconds")}
    return same | {"epoch": 1, "cache_key": setup.cache_key(architecture, 1)}


class Plain:
    """A study of Optuna's own, with the trials that a copy of our database has of them.

    Args:
        hardened: whether it has our settings of the connection (SQLite: write-ahead log, and no
            wait for the disk at each commit) in place of those by default.
    """

    def __init__(
        self, storage: str, sampler: optuna.samplers.BaseSampler, *, hardened: bool = False
    ) -> None:
        url = sa.make_url(storage)
        if url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        options = engine_options(url) if hardened else {}
        shown = url.render_as_string(hide_password=False)
        rdb = optuna.storages.RDBStorage(shown, engine_kwargs=options)
        if hardened:
            harden(rdb.engine)
            rdb.engine.dispose()
        self._study = optuna.load_study(study_name=NAME, storage=rdb, sampler=sampler)
        space = set_up(spec("random", 1), Path()).space
        self._offered: dict[str, BaseDistribution] = {
            d.name: CategoricalDistribution(d.choices) for d in space.decisions
        }

    def __call__(self) -> None:
        """One trial."""
        trial = self._study.ask(self._offered)
        self._study.tell(trial, worth(trial.params))
