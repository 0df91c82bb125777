"""`--workers` of commands that go on with a study: as `nas search` takes it."""

import json
from pathlib import Path

from .conftest import STUDY, run


def test_a_study_without_workers_may_have_some_later(tmp_path: Path) -> None:
    """Processes, which the study was not begun with; what is asked for by name stays refused."""
    (tmp_path / "tiny.toml").write_text(STUDY)
    storage = ["--storage", f"sqlite:///{tmp_path / 'nas.db'}"]
    run("search", str(tmp_path / "tiny.toml"), "--trials", "1", *storage)
    run("resume", "tiny", "--trials", "2", "--workers", "2", *storage)
    run("confirm", "tiny", "--trial", "0", "--seeds", "2", "--workers", "2", *storage)
    status = json.loads(run("status", "tiny", "--format", "json", *storage).stdout)
    assert status["trials"]["complete"] == 2
    inline = ["--executor", "inline", "--workers", "2"]
    assert "no option" in run("resume", "tiny", *inline, *storage, code=2).stderr
