"""Rules about the documentation: what it points to is there, and what it tells to type works."""

import importlib.util
import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gridloom.cli.main import app

GENERATED = "reference/"
SHELL = re.compile(r"^```sh\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
SEPARATORS = {"&", "&&", "|", "||", ";"}
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


def _nav_pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for inner in entry.values():
            yield from _nav_pages(inner)
    else:
        for inner in entry:
            yield from _nav_pages(inner)


def test_every_page_of_the_navigation_is_there(root: Path) -> None:
    nav = tomllib.loads((root / "zensical.toml").read_text())["project"]["nav"]
    pages = [page for page in _nav_pages(nav) if not page.startswith(GENERATED)]
    assert [page for page in pages if not (root / "docs" / page).is_file()] == []


def test_every_page_is_in_the_navigation(root: Path) -> None:
    nav = tomllib.loads((root / "zensical.toml").read_text())["project"]["nav"]
    pages = {path.relative_to(root / "docs").as_posix() for path in (root / "docs").rglob("*.md")}
    assert {page for page in pages if not page.startswith(GENERATED)} - set(
        _nav_pages(nav)
    ) == set()


def test_every_link_between_pages_leads_somewhere(root: Path, texts: dict[str, str]) -> None:
    broken = [
        (name, target)
        for name, text in texts.items()
        if name.endswith(".md")
        for target in LINK.findall(text)
        if GENERATED not in target and not (root / name).parent.joinpath(target).exists()
    ]
    assert broken == []


def test_every_decision_is_in_the_index(root: Path) -> None:
    folder = root / "docs/decisions"
    listed = set(LINK.findall((folder / "index.md").read_text()))
    assert {path.name for path in folder.glob("[0-9]*.md")} == listed


def _shell_lines(texts: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    for name, text in texts.items():
        for block in SHELL.findall(text) if name.endswith(".md") else []:
            for line in block.replace("\\\n", " ").splitlines():
                lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
                lexer.whitespace_split = True
                words = list(lexer)
                for is_operator, command in itertools.groupby(
                    words, lambda word: word in SEPARATORS
                ):
                    if not is_operator:
                        yield name, list(command)


def test_every_command_in_the_pages_is_one_that_the_command_line_takes(
    texts: dict[str, str],
) -> None:
    found = []
    for name, words in _shell_lines(texts):
        if Path(words[0]).name != "gridloom":
            continue
        # Raises for a command, a flag or a value that does not exist; runs nothing.
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
        found.append(name)
    assert found


def test_every_target_that_the_pages_name_is_in_the_makefile(
    root: Path, texts: dict[str, str]
) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    named = [(name, words[1]) for name, words in _shell_lines(texts) if words[0] == "make"]
    assert [(name, target) for name, target in named if target not in targets] == []
    assert named


@pytest.fixture
def doctests(root: Path) -> ModuleType:
    """Return tools/doctests.py as a module."""
    spec = importlib.util.spec_from_file_location("house_doctests", root / "tools/doctests.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_in_the_pages_gives_what_it_says(doctests: ModuleType) -> None:
    pages = doctests.pages_with_examples()
    assert pages
    assert [page.name for page in pages if doctests.run_page(page)] == []
