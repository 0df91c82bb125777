"""The program `nas`, and `python -m nas`: an interruption while it is imported is one as later."""

import sys

# As in `nas.cli._boundary`, which is not there yet while it is imported.
_INTERRUPTED = 130


def main() -> None:
    """Import the command line, and run it."""
    try:
        from nas.cli import main as command

        command(prog_name="nas")
    except KeyboardInterrupt:
        if sys.stderr is not None:  # as where it was closed; print would take stdout
            print("interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
