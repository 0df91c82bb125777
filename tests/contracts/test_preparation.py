"""Every preparation that comes with the program, found by discovery: so is a new one at once."""

from nas.contracts.test_preparation import *  # noqa: F403
