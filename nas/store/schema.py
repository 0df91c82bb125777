"""Our tables. Optuna's own stand beside them in the same database."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

# A change here is a new file in `migrations/versions/` that leads to it.
VERSION = 10
# None is SQL NULL, not the JSON text "null".
OPTIONAL_JSON = JSON(none_as_null=True)
metadata = MetaData()

# One row: the version of these tables, and an id by which the database knows its artifacts.
database = Table(
    "nas_database",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
)

studies = Table(
    "nas_studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("reason", String, nullable=False),
    Column("spec", JSON, nullable=False),
    # What the study is bound to: a resumed one must find the same.
    Column("space", JSON, nullable=False),
    Column("task", JSON, nullable=False),
    Column("dataset", String(64), nullable=False),
    # Device, runtime, workload and profile of its predictions of latency, where it has them.
    Column("latency", OPTIONAL_JSON),
    # Architectures to try first, resolved when the study was created.
    Column("start", JSON, nullable=False),
    # URL of the artifact store; empty: beside the database file.
    Column("artifacts", String, nullable=False),
    Column("target", Integer),
    Column("seconds", Float, nullable=False),
    # The database's clock when time was last added to `seconds`: what several drivers spend side by
    # side counts once.
    Column("accounted", Float, nullable=False, server_default="0"),
    Column("next_ordinal", Integer, nullable=False),
    Column("next_seq", Integer, nullable=False),
    Column("created", String(32), nullable=False),
    Column("changed", String(32), nullable=False),
)


def _study() -> "Column[int]":
    return Column(
        "study_id", Integer, ForeignKey("nas_studies.id", ondelete="CASCADE"), primary_key=True
    )


trials = Table(
    "nas_trials",
    metadata,
    _study(),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("run_id", String(32)),
    # What the strategy had seen when it proposed: replaying it needs nothing else.
    Column("last_seq", Integer, nullable=False),
    Column("pending", JSON, nullable=False),
    Column("architecture", OPTIONAL_JSON),
    Column("key", String(32)),
    Column("inherit", Integer),
    # In which way it takes the weights over.
    Column("inherit_by", String(255)),
    # The artifact of the preparation that the proposal was made from.
    Column("prepared", String(64)),
    # What the strategy said of its proposal.
    Column("note", OPTIONAL_JSON),
    # The order in which trials ended is the order in which strategies fold them.
    Column("seq", Integer),
    Column("cached", Boolean, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("violation", Float, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("artifact", String(64)),
    Column("failure", OPTIONAL_JSON),
    # The evaluator's notes of what failed, which is in no row of `evaluations`.
    Column("evaluated", OPTIONAL_JSON),
    # The trial's id in Optuna's tables.
    Column("twin", Integer),
    # Where a graceful stop left it between two rungs: {"epoch", "artifact", "seconds"}.
    Column("checkpoint", OPTIONAL_JSON),
    # How many drivers have died while it was theirs.
    Column("deaths", Integer, nullable=False, server_default="0"),
    UniqueConstraint("study_id", "seq", name="nas_trials_order"),
    Index("nas_trials_state", "study_id", "state"),
)

# One row for each rung that was measured; a failure is kept in its trial's row.
evaluations = Table(
    "nas_evaluations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("nas_studies.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("cache_key", String(32), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("artifact", String(64)),
    # What the evaluator said of how it measured.
    Column("notes", OPTIONAL_JSON),
    UniqueConstraint("study_id", "ordinal", "epoch", name="nas_evaluations_rung"),
    Index("nas_evaluations_cache", "cache_key"),
)

runs = Table(
    "nas_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("study_id", Integer, ForeignKey("nas_studies.id", ondelete="CASCADE"), nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("beat", Float, nullable=False),
    Column("ended", Boolean, nullable=False),
    # How many transactions the run has committed: whether one came through is seen here when the
    # connection was lost in its commit.
    Column("step", Integer, nullable=False, server_default="0"),
    Index("nas_runs_study", "study_id"),
)

# A study's test metrics exist here and nowhere else, and only once `nas confirm` has ranked it on
# validation.
confirmations = Table(
    "nas_confirmations",
    metadata,
    _study(),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("seed", Integer, primary_key=True, autoincrement=False),
    Column("metrics", JSON, nullable=False),
    Column("test_metrics", OPTIONAL_JSON),
    Column("artifact", String(64)),
)

# What networks of a study's front took on the device itself, measured when the search had ended.
latencies = Table(
    "nas_latencies",
    metadata,
    _study(),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("latency_ms", Float, nullable=False),
    # All of it: both clocks, spread, load, whether it was noisy.
    Column("timing", JSON, nullable=False),
    Column("measured", String(32), nullable=False),
)

# What is done once, before a study's first proposal.
preparations = Table(
    "nas_preparations",
    metadata,
    _study(),
    # A hash of what is done, and how long.
    Column("key", String(32), primary_key=True),
    # {"name", "options"} of the plug-in.
    Column("plugin", JSON, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("passes", Float, nullable=False),
    # Up to where it is recorded, its checkpoint there, and what it has taken.
    Column("epoch", Integer, nullable=False),
    Column("artifact", String(64)),
    Column("seconds", Float, nullable=False),
    # The run that is at it.
    Column("run_id", String(32)),
)

preparation_epochs = Table(
    "nas_preparation_epochs",
    metadata,
    _study(),
    Column("key", String(32), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("metrics", JSON, nullable=False),
    # {decision: a probability for each of its choices}.
    Column("distribution", JSON, nullable=False),
)

# How well the slices of a study's supernet rank, as it was last measured.
rankings = Table(
    "nas_rankings",
    metadata,
    _study(),
    Column("ranking", JSON, nullable=False),
    Column("measured", String(32), nullable=False),
)

# The bundles that were written of a trial: by its digest one is known again.
bundles = Table(
    "nas_bundles",
    metadata,
    _study(),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), primary_key=True),
    # The exporters that wrote its programs, the first one first.
    Column("formats", JSON, nullable=False),
    Column("created", String(32), nullable=False),
)

# One row for each run of `nas compare`; its trials are in no table, only those that got further.
comparisons = Table(
    "nas_comparisons",
    metadata,
    # Hashes: of what is compared on, and of the strategy with its options.
    Column("comparison", String(32), primary_key=True),
    Column("strategy", String(32), primary_key=True),
    Column("seed", Integer, primary_key=True, autoincrement=False),
    # For people: the study file's name, and the strategy as it was asked for.
    Column("study", String(255), nullable=False),
    Column("label", String, nullable=False),
    # How many were made; fewer than wanted where the space was exhausted.
    Column("trials", Integer, nullable=False),
    Column("counts", JSON, nullable=False),
    # A trial, its losses, its architecture's key, its sealed metrics: each no worse than before.
    Column("trace", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("created", String(32), nullable=False),
    # [metric, direction] of each loss of the trace; of version 9 and before none.
    Column("objectives", OPTIONAL_JSON),
)
