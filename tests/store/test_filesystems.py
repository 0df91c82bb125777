"""SQLite on a network file system is refused; which one a folder is on is what the kernel says."""

from pathlib import Path

import pytest

from nas.store import Store, StoreError, filesystems
from nas.store.filesystems import filesystem_type

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 22 0:25 / /home rw - autofs systemd-1 rw,fd=53
31 30 0:40 / /home rw,relatime shared:20 master:3 - nfs4 server:/export/home rw,vers=4.2
32 31 0:41 / /home/me/my\040disk rw - xfs /dev/sdb1 rw
33 22 0:42 / /mnt/share rw - cifs //server/share rw
34 22 0:43 / /mnt/far rw - fuse.sshfs me@host:/data rw
35 22 0:44 / /mnt/c rw - 9p drvfs rw
36 22 0:45 / /homes rw - lustre mgs@tcp:/fs rw
a line that is damaged
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/srv/studies", "ext4"),
        ("/home", "nfs4"),
        ("/home/me", "nfs4"),
        ("/home/me/my disk", "xfs"),
        ("/home/me/my disk/deep/er", "xfs"),
        ("/home/me/my", "nfs4"),
        ("/homestead", "ext4"),
        ("/homes/me", "lustre"),
        ("/mnt/far/away", "fuse.sshfs"),
        ("/mnt/c/Users", "9p"),
    ],
)
def test_the_nearest_mount_says_what_a_folder_is_on(folder: str, kind: str) -> None:
    assert filesystem_type(Path(folder), MOUNTS) == kind


def test_nothing_mounted_is_no_type() -> None:
    assert filesystem_type(Path("/home"), "") == ""


def mounted(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a database in a folder that the kernel would say is on that file system."""
    folder = tmp_path / "studies"
    folder.mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 254:0 / / rw - ext4 x rw\n23 22 0:9 / {folder} rw - {kind} x rw\n")
    monkeypatch.setattr(filesystems, "_MOUNTS", mounts)
    return f"sqlite:///{folder / 'nas.db'}"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.s3fs", "ceph"])
def test_a_network_is_refused_with_the_folder_and_the_remedy(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = mounted(tmp_path, kind, monkeypatch)
    with pytest.raises(StoreError) as refused:
        Store(storage)
    said = str(refused.value)
    for part in (str(tmp_path / "studies"), f'"{kind}"', "PostgreSQL", "NAS_ALLOW_NETWORK_SQLITE"):
        assert part in said
    assert not list((tmp_path / "studies").iterdir())
    monkeypatch.setenv("NAS_ALLOW_NETWORK_SQLITE", "1")
    assert Store(storage).studies() == []


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "tmpfs", "overlay", "9p", "virtiofs", "fuse.lxcfs"]
)
def test_a_disk_of_this_machine_is_not(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Store(mounted(tmp_path, kind, monkeypatch)).studies() == []


def test_a_link_leads_to_where_it_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(tmp_path, "nfs4", monkeypatch)
    (tmp_path / "link").symlink_to(tmp_path / "studies")
    with pytest.raises(StoreError, match="nfs4"):
        Store(f"sqlite:///{tmp_path / 'link' / 'nas.db'}")


def test_an_old_system_without_the_kernels_word_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    monkeypatch.setattr(filesystems, "_MOUNTS", tmp_path / "absent")
    assert Store(storage).studies() == []
