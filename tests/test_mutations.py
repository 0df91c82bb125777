"""Whether the tests would notice: promises of the project, each broken on purpose.

A mutation changes one place of the source, in a copy; the tests named beside it must fail on that
copy, and pass on it as it is. `PYTHONPATH=tests/outside python tests/test_mutations.py` prints the
table.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from fakes.own_copy import MUTATED, PACKAGES

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutation:
    """A promise, and a change of the source that breaks it.

    Attributes:
        promise: what holds as long as the source is as it is.
        old: occurs once in all packages, wherever that is.
        new: takes its place.
        tests: what must fail then: files, or tests in them.
    """

    promise: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def file(self) -> Path:
        """The one that has the old text, relative to the root."""
        sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
        found = [p.relative_to(ROOT) for p in sources for _ in range(p.read_text().count(self.old))]
        assert len(found) == 1, f"expected the text once, for: {self.promise}: {found}: {self.old}"
        return found[0]


MUTATIONS = (
    Mutation(
        "workers of a search see no test label",
        "y[self.test] = UNKNOWN",
        "y[self.test] = y[self.test]",
        ("tests/study/test_confirm.py::test_no_file_of_a_search_holds_a_test_label",),
    ),
    Mutation(
        "confirmed trials are ranked by validation, never by test",
        'row["metrics"].get(came)',
        'row["test_metrics"].get(came.replace("val_", "test_"))',
        (
            "tests/study/test_confirm.py"
            "::test_ranked_on_fresh_validation_and_repeated_from_the_record",
        ),
    ),
    Mutation(
        "confirmation's seeds are none that the search has used",
        "FRESH_SEEDS = 1_000_000",
        "FRESH_SEEDS = 0",
        ("tests/study/test_confirm.py::test_the_seeds_are_none_of_the_search",),
    ),
    Mutation(
        "what leaves is undone from the last extension on",
        "for deploy in reversed(steps):",
        "for deploy in steps:",
        ("tests/search_spaces/test_extensions.py",),
    ),
    Mutation(
        "no result answers for another dataset",
        '"task": self.task.fingerprint,',
        "",
        ("tests/study/test_study.py::TestRecord::test_what_may_change_a_result_is_in_the_key",),
    ),
    Mutation(
        "no result answers for another seed",
        '"seed": self.spec.study.seed,',
        "",
        ("tests/study/test_study.py::TestRecord::test_what_may_change_a_result_is_in_the_key",),
    ),
    Mutation(
        "what reads a copied channel reads a share of it",
        "share = 1 / torch.bincount(index, minlength=before)[index].double()",
        "share = torch.ones(len(index), dtype=torch.float64)",
        ("tests/evaluators/test_morphism_inheritance.py",),
    ),
    Mutation(
        "results of inherited weights are not shared",
        '"" if trial.inherit is not None else ',
        "",
        ("tests/study/test_study.py::TestRecord::test_inherited_weights_are_not_shared",),
    ),
    Mutation(
        "a proposal's random numbers are its ordinal's",
        "default_rng([seed, ordinal, attempt])",
        "default_rng([seed, attempt])",
        ("tests/strategies/test_distinct.py",),
    ),
    Mutation(
        "the record is folded in the order in which trials ended",
        "    .order_by(trials.c.seq)\n    .limit(_AT_ONCE)",
        "    .order_by(trials.c.ordinal)\n    .limit(_AT_ONCE)",
        ("tests/store/test_ledger.py",),
    ),
    Mutation(
        "what was measured is recorded with the end of its trial",
        "if evaluation is not None:\n                self._append(",
        "if evaluation is None:\n                self._append(",
        ("tests/study/test_study.py::TestRecord::test_known_evaluations_cost_nothing",),
    ),
    Mutation(
        "a transaction whose commit seemed lost takes place once",
        "if self._sign(connection, step=self._step + 1):",
        "if self._sign(connection, step=self._step + 1) or True:",
        ("tests/study/test_lost_database.py::test_commits_that_seem_lost_take_place_once",),
    ),
    Mutation(
        "a trial is written to by its owner alone",
        '    trials.c.run_id == sa.bindparam("of_run"),\n',
        "",
        ("tests/store/test_ledger.py",),
    ),
    Mutation(
        "of a bracket the best go on",
        "sorted(range(len(keys)), key=keys.__getitem__)[: _places(",
        "sorted(range(len(keys)), key=keys.__getitem__, reverse=True)[: _places(",
        ("tests/study/test_halving.py::TestRanking",),
    ),
    Mutation(
        "a bound is broken on its bad side",
        'value - self.bound if self.operator == "<="',
        'value - self.bound if self.operator == ">="',
        ("tests/strategies/test_constraints.py",),
    ),
    Mutation(
        "a front is what nothing dominates",
        "(points[rest] < points[best])",
        "(points[rest] > points[best])",
        ("tests/strategies/test_pareto.py",),
    ),
    Mutation(
        "a vector is the architecture that it was made from",
        "indices[d.name] % len(d.choices)",
        "indices[d.name] % max(1, len(d.choices) - 1)",
        ("tests/search_spaces/test_space_laws.py",),
    ),
    Mutation(
        "a damaged artifact is not read",
        "if sha256_of(place) != artifact.sha256:",
        "if len(sha256_of(place)) != len(artifact.sha256):",
        ("tests/evaluators/test_checkpoint.py::test_a_damaged_file_is_refused",),
    ),
    Mutation(
        "a table is unpickled to numbers, and nothing in it is called",
        'raise pickle.UnpicklingError(f"unexpected {module_name}.{global_name}")',
        "return super().find_class(module_name, global_name)",
        ("tests/evaluators/test_tabular.py::test_a_pickle_that_calls_something_is_refused",),
    ),
    Mutation(
        "training goes on with the state of its optimizer",
        '("best", "current", "optimizer")',
        '("best", "current")',
        ("tests/evaluators/test_training.py::test_resume_is_exact",),
    ),
    Mutation(
        "a result does not depend on who is trained beside it",
        "[np.random.SFC64([*seed, epoch]) for seed, epoch in given]",
        "[np.random.SFC64([n, *seed, epoch]) for n, (seed, epoch) in enumerate(given)]",
        ("tests/evaluators/engine/test_company.py::test_company_changes_nothing[gcn]",),
    ),
    Mutation(
        "features are standardized by the training nodes alone",
        "values = raw.x[chosen].double()",
        "values = raw.x.double()",
        ("tests/datasets/test_preprocessing.py",),
    ),
    Mutation(
        "what was never timed is predicted no latency",
        "if trace.unknown or never:",
        "if never:",
        ("tests/evaluators/latency/test_profile.py::test_what_was_never_timed_has_no_number",),
    ),
    Mutation(
        "a slice has the leading channels of its supernet",
        "tensor = tensor.narrow(cut.dim + 1, 0, cut.each)",
        "tensor = tensor.narrow(cut.dim + 1, tensor.size(cut.dim + 1) - cut.each, cut.each)",
        (
            "tests/search_spaces/test_supernet.py::test_each_head_of_a_narrower_layer_is_a_part_of_the_same_head",
        ),
    ),
    Mutation(
        "a step of the decisions sees what it does to the next step of the weights",
        "name: found[name] - (sides[0]",
        "name: found[name] + (sides[0]",
        ("tests/evaluators/test_bilevel.py::test_the_second_order_is_that_of_an_unrolled_step",),
    ),
    Mutation(
        "a relaxed network reads each source by how much it counts",
        "values = [replace(s, value=self.drop(s.value)).weighed for s in sources]",
        "values = [self.drop(s.value) for s in sources]",
        ("tests/search_spaces/test_relaxed.py",),
    ),
    Mutation(
        "read-outs see no label but those of training",
        "self._train = (dataset.train & (dataset.y >= 0)).nonzero()[:, 0]\n        self._wide",
        "self._train = (dataset.y >= 0).nonzero()[:, 0]\n        self._wide",
        ("tests/evaluators/test_reading_out.py::test_it_reads_labels_of_training_alone",),
    ),
    Mutation(
        "a checkpoint keeps weights as they are trained, not as they are rounded",
        "destination[prefix + name] = parameter if keep_vars else parameter.detach()",
        "del parameter",
        ("tests/search_spaces/quantization/test_storage.py::test_a_state_has_full_precision",),
    ),
    Mutation(
        "messages of few bits are rounded",
        "messages = self.message_quantizer(x, index, dim)",
        "messages = x + 0",
        ("tests/search_spaces/quantization/test_layers.py",),
    ),
    Mutation(
        "no node is spared rounding in evaluation",
        "if self.training:\n            p = probabilities",
        "if True:\n            p = probabilities",
        ("tests/search_spaces/quantization/test_degree.py",),
    ),
    Mutation(
        "ranges of activations stay in evaluation",
        "if self.training:\n            self._observe(",
        "if True:\n            self._observe(",
        ("tests/search_spaces/quantization/test_layers.py::test_ranges_stay_in_evaluation",),
    ),
    Mutation(
        "what was pruned has no momentum either",
        "moment.mul_(mask)",
        "moment.mul_(1)",
        ("tests/search_spaces/sparsity/test_tickets.py::test_what_was_pruned_stays_zero",),
    ),
    Mutation(
        "a lottery ticket begins where it began",
        "tensor.copy_(self.sparsity.begun.get_buffer(flat(name)))",
        "pass",
        (
            "tests/search_spaces/sparsity/test_tickets.py"
            "::test_after_each_round_survivors_are_as_they_began",
        ),
    ),
    Mutation(
        "both directions of an edge are left, or neither",
        "edge_index[:, self.mask[self.first.clamp(min=0)] | is_loop]",
        "edge_index[:, self.mask | is_loop]",
        ("tests/search_spaces/sparsity/test_edges.py::test_directions_are_tied_and_loops_stay",),
    ),
    Mutation(
        "a sparse network is judged as what it becomes, not as what it was",
        "and state.best_epoch > settles",
        "",
        ("tests/evaluators/test_sparse_training.py::test_it_is_judged_as_what_it_becomes",),
    ),
)


class Copy:
    """The source and the tests as they lie here, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        wanted = [*listed, "--", *PACKAGES, "tests", "benchmarks", "pyproject.toml"]
        names = subprocess.run(wanted, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():  # one that was deleted is listed still
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[str]:
        """The copy with a mutation; gives the name of the module that has it."""
        file = mutation.file
        before = (self.folder / file).read_text()
        self._write(file, before.replace(mutation.old, mutation.new))
        try:
            yield ".".join(file.with_suffix("").parts)
        finally:
            self._write(file, before)

    def _write(self, file: Path, text: str) -> None:
        """Write a file, and forget what was compiled of it: times of files count in seconds."""
        (self.folder / file).write_text(text)
        Path(cache_from_source(str(self.folder / file))).unlink(missing_ok=True)

    def run(self, tests: tuple[str, ...], module: str = "") -> subprocess.CompletedProcess[str]:
        """Run tests on the copy, and on nothing else; the first failure ends them."""
        path = os.pathsep.join([str(self.folder), str(self.folder / "tests" / "outside")])
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "fakes.own_copy", "-o", "timeout=90"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, MUTATED: module},
            capture_output=True,
            text=True,
        )

    def notices(self, mutation: Mutation) -> bool:
        """Whether the tests fail on the copy with a mutation; anything but that is an error."""
        with self.mutated(mutation) as module:
            ran = self.run(mutation.tests, module)
        assert ran.returncode in (0, 1), f"{mutation.promise}: {ran.stdout}{ran.stderr}"
        return ran.returncode == 1


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


def test_every_mutation_has_its_place_and_its_tests() -> None:
    """Where the source has moved on, the table moves with it."""
    for mutation in MUTATIONS:
        assert mutation.file.suffix == ".py"
        assert all((ROOT / test.partition("::")[0]).is_file() for test in mutation.tests)


@pytest.mark.slow
def test_the_source_as_it_is_passes(copied: Copy) -> None:
    """Control: what fails below fails by the mutation."""
    tests = tuple(dict.fromkeys(test for mutation in MUTATIONS for test in mutation.tests))
    ran = copied.run(tests)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise)
def test_a_broken_promise_is_noticed(mutation: Mutation, copied: Copy) -> None:
    assert copied.notices(mutation), f"{mutation.tests} pass without: {mutation.promise}"


def main() -> None:
    """Print each mutation, and whether it was noticed."""
    print("| promise | file | tests | noticed | s |\n|---|---|---|---|--:|")
    noticed = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for mutation in MUTATIONS:
            began = time.monotonic()
            noticed.append(copy.notices(mutation))
            verdict, seconds = "yes" if noticed[-1] else "NO", f"{time.monotonic() - began:.0f}"
            cells = (mutation.promise, str(mutation.file), ", ".join(mutation.tests), verdict)
            print(f"| {' | '.join((*cells, seconds))} |", flush=True)
    raise SystemExit(f"{sum(noticed)} of {len(noticed)} noticed" if not all(noticed) else 0)


if __name__ == "__main__":
    main()
