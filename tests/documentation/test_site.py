"""The documentation is built without a warning, and every link in it leads somewhere."""

import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
from bs4 import BeautifulSoup, Tag

from .pages import ROOT
from .test_commands import ALL

PUBLIC = ("nas", "search_spaces", "evaluators")


def build(source: Path, to: Path) -> "subprocess.CompletedProcess[str]":
    """As CONTRIBUTING.md says."""
    strict = ("-W", "--keep-going", "-q")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        *strict,
        "-c",
        str(ROOT / "docs"),
        "-d",
        str(to / "d"),
    ]
    return subprocess.run(
        [*command, str(source), str(to / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("documentation")
    done = build(ROOT, at)
    assert done.returncode == 0, done.stderr
    return at / "site"


@cache
def read(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(page: Path) -> frozenset[str]:
    return frozenset(str(tag["id"]) for tag in read(page).find_all(id=True))


def addresses(page: Path, tags: dict[str, str]) -> list[str]:
    """The values of an attribute of some tags: {"a": "href"}."""
    found = (tag for name in tags for tag in read(page).find_all(name))
    return [
        str(tag[tags[tag.name]])
        for tag in found
        if isinstance(tag, Tag) and tags[tag.name] in tag.attrs
    ]


def broken(page: Path) -> list[str]:
    """Its links that lead nowhere: no such file, no such anchor, an address of no form."""
    wrong = []
    for link in addresses(page, {"a": "href"}):
        parts = urlsplit(link)
        if parts.scheme:
            sound = parts.scheme in {"http", "https"} and re.fullmatch(
                r"[\w.-]+(:\d+)?", parts.netloc
            )
        else:
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            named = unquote(parts.fragment)
            sound = target.is_file() and (not named or named in anchors(target))
        if not sound:
            wrong.append(link)
    return wrong


def test_every_link_leads_somewhere(site: Path) -> None:
    """Files and anchors within the site; outside of it, without a network, the form alone."""
    found = {str(page.relative_to(site)): broken(page) for page in sorted(site.rglob("*.html"))}
    assert len(found) > 60
    assert {page: links for page, links in found.items() if links} == {}


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    """The control: of the reader of sites, and of the generator."""
    page = tmp_path / "page.html"
    links = (
        "#here",
        "#there",
        "gone.html",
        "page.html#here",
        "https://example.org",
        "htp://x",
        "https:/x",
    )
    page.write_text('<p id="here">' + "".join(f'<a href="{link}">x</a>' for link in links))
    assert broken(page) == ["#there", "gone.html", "htp://x", "https:/x"]


@pytest.mark.parametrize("link", ["gone.md", "other.md#no-such-heading"])
def test_the_generator_refuses_a_broken_link(link: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## A heading\n")
    index = "# Index\n\n[a link](LINK)\n\n```{toctree}\nother\n```\n"
    (tmp_path / "docs" / "index.md").write_text(index.replace("LINK", "other.md#a-heading"))
    assert build(tmp_path, tmp_path / "right").returncode == 0
    (tmp_path / "docs" / "index.md").write_text(index.replace("LINK", link))
    done = build(tmp_path, tmp_path / "wrong")
    assert done.returncode != 0
    assert "myst.xref_missing" in done.stderr


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Scripts, styles, pictures and fonts lie beside the pages."""
    loaded = {"script": "src", "link": "href", "img": "src"}
    for page in site.rglob("*.html"):
        assert [at for at in addresses(page, loaded) if urlsplit(at).netloc] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text()), style


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    named = anchors(site / "docs/reference/python.html")
    for package in PUBLIC:
        module = importlib.import_module(package)
        for name in set(module.__all__) - {"__version__"}:
            assert f"{package}.{name}" in named, f"{package}.{name}: docs/reference/python.md"


def test_every_option_is_in_the_reference(site: Path) -> None:
    """The reference is made of the program; this sees that no command is left out."""
    named = anchors(site / "docs/reference/commands.html")
    for words, command in ALL.items():
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"cmdoption-{'-'.join(words)}-{option.opts[-1].lstrip('-')}" in named
