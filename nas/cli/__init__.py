"""The command line: `nas`, a thin twin of the Python API.

Data goes to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed, 2 usage or study
file, 130 interrupted. A command's module is imported when the command is, and everything heavy
inside the functions that need it, so that `nas --help` answers at once.
"""

import importlib
from collections.abc import Mapping

import click

from nas import __version__
from nas.cli._boundary import boundary

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
    "rename": "studies",
    "delete": "studies",
    "gc": "studies",
    "storage": "storage",
    "confirm": "confirm",
    "compare": "compare",
    "export": "bundles",
    "predict": "bundles",
    "plugins": "plugins",
}


class _Lazy(click.Group):
    """A group that imports a command's module when it is asked for the command."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"nas.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, f"{cmd_name}_command")
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from search_spaces.errors import did_you_mean

            hint = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f'no command is called "{args[0]}"; {hint}', ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with boundary(ctx):
            return super().invoke(ctx)


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
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
