"""Whether a folder is on a network file system, where SQLite loses what several processes write.

Its write-ahead log is shared memory, and its locks are the file system's: both are only true within
one machine. On Linux the kernel says what a folder is on; elsewhere nothing is refused.
"""

import os
import re
from pathlib import Path

from nas.store.urls import StoreError

ALLOW = "NAS_ALLOW_NETWORK_SQLITE"
_MOUNTS = Path("/proc/self/mountinfo")
# Not among them: 9p and virtiofs, by which virtual machines and containers see a folder of the very
# machine that they run on.
_NETWORK = re.compile(
    r"(fuse\.)?"
    r"(afs|beegfs|blobfuse2?|ceph|ceph-fuse|cifs|coda|curlftpfs|davfs|gcsfuse|gfs2|glusterfs|goofys"
    r"|gpfs|juicefs|lustre|ncpfs|nfs4?|ocfs2|orangefs|panfs|pvfs2|rclone|s3fs|smb3|smbfs|smbnetfs"
    r"|sshfs|wekafs)"
)


def filesystem_type(folder: Path, mountinfo: str) -> str:
    """The type of the file system that an absolute folder is on; "" where none is mounted there.

    Args:
        mountinfo: what `/proc/self/mountinfo` says.
    """
    kind, longest = "", -1
    for line in mountinfo.splitlines():
        place, _, after = line.partition(" - ")
        fields, types = place.split(" "), after.split(" ")
        if len(fields) < 5:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        depth = len(mount.parts)
        # Of two at one place the later one covers the other.
        if depth >= longest and folder.is_relative_to(mount):
            kind, longest = types[0], depth
    return kind


def filesystem_of(folder: Path) -> str:
    """The type of the file system that a folder is on; "" where the kernel does not say."""
    if not _MOUNTS.exists():
        return ""
    said = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    return filesystem_type(folder.resolve(), said)


def refuse_network(folder: Path) -> None:
    """Raise where a folder of an SQLite database is on a network; see `ALLOW` for who knows better.

    Raises:
        StoreError: with the folder, the type of its file system and the remedy.
    """
    if os.environ.get(ALLOW, "") not in ("", "0"):
        return
    kind = filesystem_of(folder)
    if _NETWORK.fullmatch(kind):
        raise StoreError(
            f"expected the SQLite database on a disk of this machine, got the folder {folder} on "
            f'"{kind}", a network file system: SQLite\'s locks do not hold there, and trials get '
            "lost. Use PostgreSQL (--storage postgresql://user@host/database) or a local folder; "
            f"{ALLOW}=1 is for who is sure that only one machine ever opens it"
        )
