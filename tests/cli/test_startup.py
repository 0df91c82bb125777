"""What a command that goes through a study imports before it begins."""

import subprocess
import sys

import pytest

_CODE = """
import sys
from nas.cli._startup import load_for
load_for(trains={})
print("nas.study" in sys.modules, "evaluators.training" in sys.modules)
"""


@pytest.mark.parametrize("trains", [True, False])
def test_what_trains_is_loaded_for_a_study_that_trains_alone(trains: bool) -> None:
    command = [sys.executable, "-c", _CODE.format(trains)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", str(trains)]
