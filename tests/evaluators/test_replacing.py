"""What is written beside its place first: files, links, pipes, devices, descriptors."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evaluators.replacing import replacing

ROOT = Path(__file__).resolve().parents[2]
TEXT = "whole\n"


def write(path: Path, text: str = TEXT) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failing block leaves what was there, and nothing beside it."""
    path = tmp_path / "file"
    write(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write(path, f"{TEXT * 100_000}\ud800")
    assert path.read_text() == "before"
    write(path)
    assert path.read_text() == TEXT
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("is_there", [True, False])
def test_links_are_followed(is_there: bool, tmp_path: Path) -> None:
    """To their end, from folder to folder; the links stay, the last one's target is replaced."""
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target"
    if is_there:
        target.write_text("before")
    (tmp_path / "far" / "near").symlink_to("target")
    (tmp_path / "link").symlink_to("far/near")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "near").is_symlink()
    assert target.read_text() == TEXT
    assert not target.is_symlink()


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    """That of the system."""
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "one")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("by_link", [False, True])
def test_a_named_pipe_is_written_into(by_link: bool, tmp_path: Path) -> None:
    """Its reader gets all; the pipe stays one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to("pipe")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    write(tmp_path / "link" if by_link else pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    reader.join(10)
    assert got == [TEXT]


def test_a_full_device_is_an_error_and_stays(tmp_path: Path) -> None:
    """A node of our own with the numbers of /dev/full."""
    full = tmp_path / "full"
    try:
        os.mknod(full, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
        full.write_bytes(b"")
    except (OSError, AttributeError) as error:
        pytest.skip(f"device nodes cannot be made, or not be opened, here: {error}")
    with pytest.raises(OSError, match="No space left") as caught:
        write(full)
    assert caught.value.errno == errno.ENOSPC
    assert stat.S_ISCHR(full.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="descriptors have no paths here")
@pytest.mark.parametrize("name", ["/dev/fd/1", "link"])
def test_stdout_is_written_into(name: str, tmp_path: Path) -> None:
    """A pipe, and a file that has something already: neither is replaced, nothing is lost.

    The link is as /dev/stdout, which a fault would replace for the whole machine.
    """
    path = str(tmp_path / name)
    (tmp_path / "link").symlink_to("/dev/fd/1")
    code = (
        "import sys\nfrom pathlib import Path\nfrom evaluators.replacing import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial: partial.write_text('whole\\n')\n"
    )
    line = [sys.executable, "-c", code, path]
    piped = subprocess.run(line, stdout=subprocess.PIPE, cwd=ROOT, text=True, check=True)
    assert piped.stdout == TEXT
    file = tmp_path / "out"
    with file.open("w") as stdout:
        print("before", file=stdout, flush=True)
        subprocess.run(line, stdout=stdout, cwd=ROOT, check=True)
        subprocess.run(line, stdout=stdout, cwd=ROOT, check=True)
    assert file.read_text() == f"before\n{TEXT}{TEXT}"
