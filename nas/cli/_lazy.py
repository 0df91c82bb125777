"""A group of commands whose modules are imported when they are asked for."""

import importlib
from collections.abc import Mapping

import click


class Lazy(click.Group):
    """Has a mapping of commands to the modules that define them: `rename` is `rename_command`."""

    def __init__(self, *args: object, modules: Mapping[str, str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._modules = modules

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return None
        module = importlib.import_module(f"nas.cli.{self._modules[cmd_name]}")
        command = getattr(module, f"{cmd_name}_command")
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self._modules:
            from search_spaces.errors import did_you_mean

            hint = did_you_mean(args[0], self._modules)
            raise click.UsageError(f'no command is called "{args[0]}"; {hint}', ctx)
        return super().resolve_command(ctx, args)
