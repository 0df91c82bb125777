"""`python -m nas.cli`, for where the command is not on the path."""

from nas.cli import main

main(prog_name="nas")
