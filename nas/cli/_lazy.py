"""Groups of commands; the modules of `Lazy` ones are imported when they are asked for."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from nas.cli._usage import in_one_line


class Group(click.Group):
    """Says which command may have been meant."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **rest: Any,
    ) -> click.Context:
        with in_one_line(info_name, parent):
            return super().make_context(info_name, args, parent, **rest)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            from search_spaces.errors import did_you_mean

            hint = did_you_mean(args[0], known)
            raise click.UsageError(f'no command is called "{args[0]}"; {hint}', ctx)
        return super().resolve_command(ctx, args)


class Lazy(Group):
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
