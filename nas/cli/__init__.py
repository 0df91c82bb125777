"""The command line: `nas`, a thin twin of the Python API.

Data goes to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed, 2 usage or study
file, 130 interrupted. A command's module is imported when the command is, and everything heavy
inside the functions that need it, so that `nas --help` answers at once.
"""

from collections.abc import Mapping
from typing import Any

import click

from nas import __version__
from nas.cli._boundary import INTERRUPTED, boundary
from nas.cli._lazy import Lazy
from nas.cli._streams import dropping_stderr, telling_stdout
from nas.cli._usage import in_one_line

# Command: the module that defines it. `rename`, in `nas.cli.studies`, is there `rename_command`.
COMMANDS: Mapping[str, str] = {
    "init": "search",
    "search": "search",
    "resume": "resume",
    "worker": "resume",
    "list": "studies",
    "status": "studies",
    "trials": "trials",
    "show": "trials",
    "front": "trials",
    "prepared": "prepared",
    "rename": "studies",
    "delete": "studies",
    "gc": "studies",
    "storage": "storage",
    "latency": "latency",
    "confirm": "confirm",
    "compare": "compare",
    "scale": "scale",
    "rank": "rank",
    "supernet": "supernet",
    "sparse": "sparse",
    "export": "bundles",
    "quantize": "quantize",
    "predict": "bundles",
    "reproduce": "reproduce",
    "serve": "serve",
    "dashboard": "dashboard",
    "card": "card",
    "verify": "verify",
    "report": "report",
    "plugins": "plugins",
}


class _Main(Lazy):
    def main(self, *arguments: Any, **named: Any) -> Any:
        with dropping_stderr(), telling_stdout():
            return super().main(*arguments, **named)

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **named)
        except KeyboardInterrupt:  # click would say "Aborted!" and end with 1
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None

    def invoke(self, ctx: click.Context) -> object:
        with boundary(ctx), in_one_line("nas"):
            return super().invoke(ctx)


@click.command(
    "nas", cls=_Main, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="nas")
def main() -> None:
    """Search for graph neural network architectures; resume, confirm, export.

    \b
    Examples:
      nas init                         write study.toml
      nas search study.toml            search, into sqlite:///nas.db
      nas resume study                 go on after an interruption
      nas worker study                 help with it, from another process or machine
      nas confirm study                retrain the best on fresh seeds; measure test
      nas export study --to bundle     leave with files that run without this program
    """
