"""Where the files of a program's archive lie: each as it is, one after the other, and no more.

A zip says twice what it holds, beside each file and in a table at its end, and readers differ in
which they believe. What torch and Python write has each file stored, without a gap, and both agree;
an archive of another shape is refused before anything is read, or room is made, by what it says.
"""

import stat
import struct
import zipfile
from pathlib import Path

from nas.export._base import BundleError, shown

_HEADER = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_BESIDE, _TABLE_END, _DESCRIPTOR = b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"
_ENTRY_BYTES = 46
# The second end of the table, and what leads to it, of archives that could be larger than 4 GiB.
_LARGE_BYTES = 56 + 20
_ENCRYPTED, _SIZES_FOLLOW = 1, 8


def check_layout(path: Path, content: bytes, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that says more than it has, or says two things.

    Args:
        path: what messages call it.
        content: its bytes, of which `archive` is made.

    Raises:
        BundleError: a file is compressed, encrypted, a link, or lies over another one; there are
            bytes that belong to none; or what stands beside a file is not what the table says.
    """
    end = 0
    for info in sorted(archive.infolist(), key=lambda each: each.header_offset):
        name = f"{path} holds {shown(info.filename)}"
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise BundleError(f"{name} compressed; programs are stored as they are; not loaded")
        if info.flag_bits & _ENCRYPTED or stat.S_ISLNK(info.external_attr >> 16) or info.is_dir():
            raise BundleError(f"{name}, which is encrypted, a link or a folder; not loaded")
        if info.header_offset != end:
            raise BundleError(f"{name} over another file, or after a gap; not loaded")
        end = _end_of(path, content, info)
    _check_end(path, content, archive, end)


def _end_of(path: Path, content: bytes, info: zipfile.ZipInfo) -> int:
    """Where the next file begins."""
    wrong = BundleError(
        f"{path}: what is said of {shown(info.filename)} beside it is not what the table of the "
        "archive says; not loaded"
    )
    begin = info.header_offset + _HEADER.size
    if begin > len(content):
        raise wrong
    mark, _, flags, method, _, _, _, packed, size, names, extra = _HEADER.unpack_from(
        content, info.header_offset
    )
    name = content[begin : begin + names]
    data = begin + names + extra
    end: int = data + info.file_size
    follow = bool(flags & _SIZES_FOLLOW)
    # 2^32 - 1: the size stands where large ones do.
    known = {info.file_size, 2**32 - 1} | ({0} if follow else set())
    if (
        mark != _BESIDE
        or method != zipfile.ZIP_STORED
        or name.decode("utf-8", "replace") != info.orig_filename
        or flags != info.flag_bits
        or not {packed, size} <= known
        or end > len(content)
    ):
        raise wrong
    if not follow:
        return end
    large = content[end + 4 : end + 8] + struct.pack("<2Q", info.file_size, info.file_size)
    small = content[end + 4 : end + 8] + struct.pack("<2I", *[info.file_size & 0xFFFFFFFF] * 2)
    for said in (large, small):
        if content[end : end + 4 + len(said)] == _DESCRIPTOR + said:
            return end + 4 + len(said)
    raise wrong


def _check_end(path: Path, content: bytes, archive: zipfile.ZipFile, end: int) -> None:
    """Whether the table follows the last file, and ends the archive."""
    entries = archive.infolist()
    table = sum(
        _ENTRY_BYTES + len(i.orig_filename.encode()) + len(i.extra) + len(i.comment)
        for i in entries
    )
    last = len(content) - _END.size
    mark, _, _, _, count, _, _, comment = _END.unpack_from(content, max(last, 0))
    if (
        archive.start_dir != end
        or last - end - table not in (0, _LARGE_BYTES)
        or mark != _TABLE_END
        or comment
        or count not in (len(entries), 2**16 - 1)
    ):
        raise BundleError(f"{path} has bytes before, between or after its files; not loaded")
