"""Public graphs: the sizes that are published, and raw files that nobody writes to."""

import shutil
from pathlib import Path

import pytest

from evaluators.datasets import DatasetError, load
from evaluators.datasets.molecule_net import build
from search_spaces.plugins import Plugin

# name, options, graphs, nodes, edges, features, classes; None where none is published
SIZES = [
    ("planetoid", {"subset": "Cora"}, 1, 2708, 10556, 1433, 7),
    ("planetoid", {"subset": "CiteSeer"}, 1, 3327, 9104, 3703, 6),
    ("citation_full", {"subset": "Cora_ML"}, 1, 2995, 16316, 2879, 7),
    ("amazon", {"subset": "Photo"}, 1, 7650, 238162, 745, 8),
    ("heterophilous", {"subset": "minesweeper"}, 1, 10000, 78804, 7, 2),
    ("webkb", {"subset": "texas"}, 1, 183, 325, 1703, 5),
    ("webkb", {"subset": "wisconsin", "split": 9}, 1, 251, 515, 1703, 5),
    ("tu", {"subset": "MUTAG"}, 188, None, None, 7, 2),
    ("tu", {"subset": "PROTEINS"}, 1113, None, None, 3, 2),
    ("tu", {"subset": "ENZYMES"}, 600, None, None, 3, 6),
    ("molecule_net", {"subset": "BBBP"}, 2039, None, None, 9, 2),
]


def listing(root: Path) -> list[tuple[str, int, int]]:
    stats = [(path, path.stat()) for path in sorted(root.rglob("*"))]
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


@pytest.mark.filterwarnings("ignore::evaluators.datasets._checks.DatasetWarning")
@pytest.mark.parametrize("case", SIZES, ids=lambda case: case[1]["subset"])
def test_sizes_are_the_published_ones(case, data_root, capfd):
    """As in the papers; nothing is printed, and the folder is as it was."""
    name, options, graphs, nodes, edges, features, classes = case
    if name == "molecule_net":
        pytest.importorskip("rdkit")
    before = listing(data_root)
    task = load(Plugin(name, options), data_root).task
    assert (task.n_graphs, task.n_features, task.n_classes) == (graphs, features, classes)
    assert (task.n_nodes, task.n_edges) == (nodes or task.n_nodes, edges or task.n_edges)
    assert listing(data_root) == before
    assert capfd.readouterr() == ("", "")


def test_public_splits_of_cora(data_root):
    """140 / 500 / 1,000; full trains on all the rest; random depends on its seed alone."""

    def cora(**options):
        return load(Plugin("planetoid", options), data_root)

    public, full = cora().task, cora(split="full").task
    assert (public.n_train, public.n_val, public.n_test) == (140, 500, 1000)
    assert (full.n_train, full.n_val, full.n_test) == (1208, 500, 1000)
    one, same, other = (cora(split="random", seed=seed) for seed in (1, 1, 2))
    assert one.task == same.task
    assert one.fingerprint != other.fingerprint
    assert one.y[one.train].bincount().tolist() == [20] * 7


@pytest.mark.filterwarnings("ignore::evaluators.datasets._checks.DatasetWarning")
def test_ten_public_splits_differ(data_root):
    """The option `split` takes another column of the masks."""
    prints = {load(Plugin("webkb", {"split": s}), data_root).fingerprint for s in range(10)}
    assert len(prints) == 10


def test_sizes_of_a_split_are_counts_or_ratios(data_root):
    """20 and 30 a class without options; ratios replace them; both at once is refused."""
    counts = load(Plugin("amazon"), data_root).task
    assert (counts.n_train, counts.n_val) == (160, 240)
    ratios = load(Plugin("amazon", {"train_ratio": 0.5, "val_ratio": 0.2}), data_root).task
    assert (ratios.n_train, ratios.n_val) == (3825, 1530)
    with pytest.raises(DatasetError, match=r"by counts .* or by ratios .* got both"):
        load(Plugin("amazon", {"train_ratio": 0.5, "labels_per_class": 5}), data_root)
    with pytest.raises(DatasetError, match="go together"):
        load(Plugin("amazon", {"train_ratio": 0.5}), data_root)


def test_a_read_only_copy_is_enough(data_root, tmp_path):
    """Folders without the permission to write serve as they are."""
    shutil.copytree(data_root / "TUDataset" / "MUTAG", tmp_path / "TUDataset" / "MUTAG")
    folders = [path for path in [tmp_path, *tmp_path.rglob("*")] if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        before = listing(tmp_path)
        assert load(Plugin("tu"), tmp_path).task.n_graphs == 188
        assert listing(tmp_path) == before
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "options", "file"),
    [
        ("planetoid", {"subset": "PubMed"}, "Planetoid/PubMed/raw"),
        ("amazon", {"subset": "Computers"}, "amazon_electronics_computers.npz"),
        ("coauthor", {"subset": "Physics"}, "ms_academic_phy.npz"),
        ("tu", {"subset": "NCI1"}, "NCI1_A.txt"),
    ],
)
def test_an_absent_dataset_says_what_was_looked_for(name, options, file, tmp_path):
    """The files, their folder and the remedy; and no empty folders are left behind."""
    with pytest.raises(DatasetError) as caught:
        load(Plugin(name, options), tmp_path / "root")
    for part in (file, str(tmp_path / "root"), "--data-root", "NAS_DATA_ROOT"):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_the_files_that_are_there(data_root, tmp_path):
    """One of two files is missing: the other one is neither written to nor removed."""
    raw = tmp_path / "TUDataset" / "MUTAG" / "raw"
    shutil.copytree(data_root / "TUDataset" / "MUTAG" / "raw", raw)
    (raw / "MUTAG_A.txt").unlink()
    before = listing(tmp_path)
    with pytest.raises(DatasetError, match=r"looked for MUTAG_A\.txt in"):
        load(Plugin("tu"), tmp_path)
    assert listing(tmp_path) == before


def test_damaged_files_are_named(data_root, tmp_path):
    """A file that cannot be parsed is an error with its folder, no traceback of a parser."""
    raw = tmp_path / "Amazon" / "Photo" / "raw"
    raw.mkdir(parents=True)
    (raw / "amazon_electronics_photo.npz").write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"Amazon/Photo/raw cannot be read .*delete them"):
        load(Plugin("amazon"), tmp_path)


def test_regression_is_refused(tmp_path):
    """ESOL is a regression set."""
    with pytest.raises(DatasetError, match=r"ESOL is a regression set.*not supported yet"):
        load(Plugin("molecule_net", {"subset": "ESOL"}), tmp_path)


def test_molecules_and_their_targets(tmp_path):
    """Three molecules of one target, one of them without a label."""
    pytest.importorskip("rdkit")
    raw = tmp_path / "MoleculeNet" / "bbbp" / "raw"
    raw.mkdir(parents=True)
    rows = ["num,name,p_np,smiles", "1,ethanol,1,CCO", "2,water,0,O", "3,ethane,,CC", ""]
    (raw / "BBBP.csv").write_text("\n".join(rows))
    dataset = build(tmp_path, train_ratio=0.5, val_ratio=0.5)
    assert dataset.graph_ids.tolist() == [0, 0, 0, 1, 2, 2]
    assert dataset.y.tolist() == [1, 0, -1]
    assert not (dataset.train | dataset.val)[2]
    with pytest.raises(DatasetError, match="targets 0 to 0, got target = 3"):
        build(tmp_path, target=3)


def test_names_lead_to_no_other_folder(tmp_path):
    """A name of the TU collection is a name, not a path."""
    with pytest.raises(DatasetError, match="expected a name of the collection"):
        load(Plugin("tu", {"subset": "../MUTAG"}), tmp_path)
