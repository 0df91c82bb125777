"""`python -m nas.contracts`: the contract tests, with pytest's options and `--plugin`."""

import sys
from pathlib import Path


def main() -> int:
    try:
        import pytest
    except ImportError:
        print("contract tests need pytest: pip install 'gnn-nas[test]'", file=sys.stderr)
        return 2
    # The folder and not --pyargs: only so is conftest.py, with its options, there in time.
    here = str(Path(__file__).parent)
    return pytest.main([here, "--import-mode=importlib", "-p", "no:cacheprovider", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
