"""Every inheritance that comes with the program, found by discovery: so is a new one at once."""

from nas.contracts.test_inheritance import *  # noqa: F403
