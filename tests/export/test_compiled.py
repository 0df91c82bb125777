"""Compiled programs: what may lie in their archive, and where they run."""

import io
import json
import platform
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from nas.export import BundleError
from nas.export._archive import check_compiled
from nas.export.aoti import build

LIBRARY = "compiled/data/aotinductor/model/abc.wrapper.so"
METADATA = "compiled/data/aotinductor/model/abc.wrapper_metadata.json"
HERE = {"AOTI_PLATFORM": sys.platform, "AOTI_MACHINE": platform.machine(), "AOTI_CPU_ISA": ""}


def archive(members: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()


def of(metadata: Mapping[str, str], **more: bytes) -> bytes:
    described = {METADATA: json.dumps(metadata).encode(), LIBRARY: b"no library"}
    return archive({**described, "compiled/archive_format": b"pt2", **more})


def test_a_library_for_this_machine_passes_and_is_then_opened() -> None:
    """The control for those below; what is no library fails in words when it is opened."""
    check_compiled(Path("compiled.pt2"), of(HERE))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (of(HERE, **{"compiled/data/weights/a.pt": b"x"}), "which no compiled network has"),
        (of(HERE, **{"compiled/data/sample_inputs/model.pt": b"x"}), "which no compiled network"),
        (
            of(HERE, **{"compiled/data/aotinductor/model/../../x.wrapper.so": b""}),
            "which no compil",
        ),
        (of(HERE, **{LIBRARY.replace("abc", "abd"): b""}), "holds 2 libraries"),
        (archive({"compiled/archive_format": b"pt2"}), "holds 0 libraries"),
        (of(HERE, **{"other/archive_format": b""}), "two programs"),
        (archive({METADATA: b"[" * 9, LIBRARY: b""}), "cannot be read"),
        (of({**HERE, "AOTI_MACHINE": "s390x"}), r"compiled for \w+ s390x.* Run model\.pt2 beside"),
        (of({**HERE, "AOTI_PLATFORM": "win32"}), "compiled for win32"),
        (b"no archive", "not a program"),
    ],
)
def test_what_else_is_in_an_archive_is_refused(content: bytes, reason: str) -> None:
    """Before torch opens it: files that it would unpickle, and libraries of other machines."""
    with pytest.raises(BundleError, match=reason):
        check_compiled(Path("compiled.pt2"), content)


def test_instructions_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a process that is killed by the first of them."""
    from nas.export import _archive

    monkeypatch.setattr(_archive, "_HAS", {"AVX512": lambda: False, "AVX2": lambda: True})
    content = of({**HERE, "AOTI_CPU_ISA": "AVX512 AVX2"})
    with pytest.raises(BundleError, match=r"this machine is .* without AVX512\. Run model\.pt2"):
        check_compiled(Path("compiled.pt2"), content)


def test_a_library_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    """Whatever the loader trips over."""
    (tmp_path / "compiled.pt2").write_bytes(of(HERE))
    with pytest.raises(BundleError, match="cannot load this program"):
        build().open(tmp_path)
