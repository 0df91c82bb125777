"""Public graphs, read by PyG's own dataset classes from raw files that are never written to.

PyG writes `processed/` beside `raw/` and later reads it back as a pickle. So the raw files are
linked into a temporary folder, where PyG does its work, and which is removed afterwards: what is
unpickled was written a moment ago by this process. The one exception is Planetoid, whose public raw
files are pickles themselves: reading them is as safe as their origin.
"""

import contextlib
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from evaluators.datasets._base import DatasetError

_log = logging.getLogger(__name__)


def read_public(source: Any, root: Path, folder: str, **arguments: Any) -> list[Any]:
    """The graphs of a PyG dataset, as `Data` objects.

    Args:
        source: the class, from `torch_geometric.datasets`.
        root: the data root; raw files are in `root/<class>/<folder>/raw`.
        folder: the name PyG gives to the folder of this data set.
        arguments: for the class, without its root.

    Raises:
        DatasetError: the files are not there and cannot be downloaded, or cannot be read.
    """
    home = (root / source.__name__ / folder / "raw").absolute()
    with tempfile.TemporaryDirectory(prefix="gnn-nas-") as temporary, _quiet():
        scratch = Path(temporary)
        _link(home, scratch / folder / "raw")
        reader = type(source.__name__, (source,), {"download": _download(source, home)})
        try:
            graphs = reader(str(scratch), **arguments)
            return [graphs[i] for i in range(len(graphs))]
        except DatasetError:
            raise
        except Exception as error:
            # A fault boundary: PyG parses these files by hand, and a damaged one fails anyhow.
            raise DatasetError(
                f"the files in {home} cannot be read ({type(error).__name__}: {error}); if they "
                "are damaged, delete them and they are downloaded again"
            ) from error


def _download(source: Any, home: Path) -> Callable[[Any], None]:
    """A `download` for a subclass of `source`, called by PyG when raw files are missing."""

    def download(reader: Any) -> None:
        names = [Path(path).name for path in reader.raw_paths]
        missing = [name for name in names if not (home / name).exists()]
        _log.info("downloading %s into %s", ", ".join(missing), home)
        # The links lead into the data root: PyG must not write through them.
        scratch = Path(reader.raw_dir)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            _require_writable(home)
            source.download(reader)
            home.mkdir(parents=True, exist_ok=True)
            for file in scratch.iterdir():
                _publish(file, home)
        except Exception as error:
            # A fault boundary: whatever goes wrong with a download, the remedy is the same.
            raise DatasetError(
                f"{source.__name__} {home.parent.name} is not there and cannot be downloaded "
                f"({type(error).__name__}: {error}); looked for {', '.join(missing)} in {home}. "
                "Name the folder that has it with --data-root or NAS_DATA_ROOT"
            ) from error

    return download


def _link(home: Path, scratch: Path) -> None:
    if not home.is_dir():
        return
    scratch.mkdir(parents=True)
    for file in home.iterdir():
        try:
            (scratch / file.name).symlink_to(file)
        except OSError:  # Windows lets only some users make links.
            if file.is_file():
                shutil.copyfile(file, scratch / file.name)


def _publish(file: Path, home: Path) -> None:
    """Copy a downloaded file into the data root, whole or not at all; never over another."""
    if not file.is_file() or (home / file.name).exists():
        return
    partial = home / f".partial-{os.getpid()}-{file.name}"
    try:
        shutil.copyfile(file, partial)
        partial.replace(home / file.name)
    finally:
        partial.unlink(missing_ok=True)


def _require_writable(home: Path) -> None:
    """Fail before a long download rather than after it."""
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise PermissionError(f"{nearest} cannot be written to")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PyG prints its progress and warns of its own ways: neither is for people who search."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
