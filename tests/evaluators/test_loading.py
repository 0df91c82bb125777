"""What a process imports for good is left alone by the collector of garbage."""

import subprocess
import sys

_CODE = """
import gc
from evaluators.loading import load
{}
print(gc.get_freeze_count() > 1_000, gc.isenabled())
"""


def _said(code: str) -> str:
    command = [sys.executable, "-c", _CODE.format(code)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_loaded_is_frozen_and_the_collector_goes_on() -> None:
    assert _said('load("json", "decimal")') == "True True"
    assert _said("import json, decimal") == "False True"


def test_a_collector_that_was_off_stays_off() -> None:
    assert _said('gc.disable(); load("json")') == "True False"


def test_the_collector_goes_on_after_a_module_that_is_not_there() -> None:
    code = """
try:
    load("there.is.none")
except ModuleNotFoundError:
    pass
"""
    assert _said(code) == "False True"
