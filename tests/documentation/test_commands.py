"""Every command and option is documented, and every documented command is one."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from nas.cli import main

from .pages import ROOT, blocks, pages

HISTORY = {"CHANGELOG.md"}
SHELLS = {"sh", "text", "bash", "", "console"}
# A sentence, or several.
HELP = re.compile(r"\S.*\.", re.DOTALL)
OPERATORS = ("|", "&&", ";", ">", "<", "||", "&")


def commands(
    command: click.Command = main, path: tuple[str, ...] = ("nas",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each with its words, groups before what is in them."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


ALL = dict(commands())


def said(page: Path) -> Iterator[tuple[int, list[str]]]:
    """The commands of `nas` in its blocks for a shell: line and words, comments left out."""
    for block in blocks(page):
        if block.language not in SHELLS:
            continue
        for offset, line in enumerate(block.text.replace("\\\n", " ").splitlines()):
            if re.match(r"\s*(?:\w+=\S* )?nas [a-z-]", line) is None:
                continue
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split, lexer.commenters = True, "#"
            words: list[str] = []
            for word in lexer:
                if word in OPERATORS:
                    break
                words.append(word)
            yield block.line + offset, words[words.index("nas") + 1 :]


def parse(words: list[str]) -> None:
    """As the program would parse it, up to what it is called with; nothing is run.

    Raises:
        click.ClickException: a command, option or value that there is not.
    """
    command: click.Command = main
    rest = words
    parent = None
    while isinstance(command, click.Group):
        parent = click.Context(command, parent=parent, info_name=command.name)
        _, found, rest = command.resolve_command(parent, rest)
        assert found is not None
        command = found
    if "--help" not in rest:
        command.make_context(command.name, list(rest), parent)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_commands_that_there_are(page: Path) -> None:
    """Commands, options and the form of their values, in all blocks for a shell."""
    if page.name in HISTORY:
        return
    wrong = []
    for line, words in said(page):
        try:
            parse(words)
        except click.ClickException as error:
            wrong.append(f"{page.name}:{line}: nas {' '.join(words)}: {error.format_message()}")
    assert wrong == []


def test_pages_have_commands_to_look_at() -> None:
    """The control of the test above: most commands are in some block."""
    found = {words[0] for page in pages() for _, words in said(page)}
    assert len(found) > 20


@pytest.mark.parametrize("wrong", ["serch x.toml", "search", "search x.toml --trails 3"])
def test_a_wrong_command_is_seen(wrong: str) -> None:
    """The control of `parse`: a name, a missing argument, an option."""
    with pytest.raises(click.ClickException):
        parse(wrong.split())


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_is_complete(words: tuple[str, ...]) -> None:
    """A sentence for the command and each option, and an example that names it and is right."""
    command = ALL[words]
    text = command.get_help(click.Context(command, info_name=" ".join(words)))
    summary = (command.help or "").partition("\n")[0]
    assert HELP.fullmatch(summary)
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [option.opts for option in options if not HELP.fullmatch(option.help or "")] == []
    shown = text.partition("Examples:")[2].replace("\\\n", " ")
    examples = [line.strip() for line in shown.splitlines()]
    examples = [line for line in examples if line.startswith(" ".join(words))]
    assert examples
    if not isinstance(command, click.Group):
        for example in examples:
            parse(shlex.split(re.split(r" [|>] ", example)[0])[1:])


def test_every_command_is_explained_by_hand() -> None:
    """In a page that somebody wrote, beside what `--help` says."""
    texts = [page.read_text(encoding="utf-8") for page in pages() if page.name not in HISTORY]
    together = "\n".join(texts)
    missing = [words for words in ALL if not re.search(rf"\b{' '.join(words)}\b", together)]
    assert missing == []
