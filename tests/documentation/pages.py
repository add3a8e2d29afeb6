"""The pages of the documentation, and what stands on them, as Markdown has it."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
_GLOBS = (
    "*.md",
    "docs/*.md",
    "docs/pictures/README.md",
    "monitoring/README.md",
    "deploy/**/README.md",
    ".github/**/*.md",
)
PAGES = sorted(path.relative_to(ROOT).as_posix() for glob in _GLOBS for path in ROOT.glob(glob))
"""Every page, by its path in the project: one that is new is looked at without being named here."""

_MARKDOWN = MarkdownIt("commonmark").enable("table")


class Block(NamedTuple):
    """A block of code: its language, empty where none is given; its text; the line on which the text begins."""

    language: str
    text: str
    line: int


@cache
def text_of(page: str) -> str:
    """Return a page as it is written."""
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def _tokens(page: str) -> tuple[Token, ...]:
    return tuple(_MARKDOWN.parse(text_of(page)))


def blocks(page: str, language: str | None = None) -> list[Block]:
    """Return a page's blocks of code, those of a language where one is given; lists and quotes are looked into."""
    found = (
        Block(token.info.strip(), token.content, (token.map or [0])[0] + 2)
        for token in _tokens(page)
        if token.type in {"fence", "code_block"}
    )
    return [block for block in found if language in {None, block.language}]


def _inline(page: str) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()


def links(page: str) -> list[str]:
    """Return what a page's links and pictures lead to."""
    targets = (token.attrGet("href") or token.attrGet("src") for token in _inline(page))
    return [str(target) for target in targets if target]


def inline_code(page: str) -> list[str]:
    """Return what is written as code within a page's sentences and tables."""
    return [token.content for token in _inline(page) if token.type == "code_inline"]


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    tokens = _tokens(page)
    headings = (tokens[at + 1].children or () for at, token in enumerate(tokens) if token.type == "heading_open")
    texts = ("".join(child.content for child in children) for children in headings)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def rows(page: str, heading: str | None = None) -> list[list[str]]:
    """Return the rows of a page's tables, without their heads, cell by cell; those below a heading where one is given."""
    found: list[tuple[str, list[str]]] = []
    under, cells, in_body = "", list[str](), False
    for at, token in enumerate(_tokens(page)):
        if token.type == "heading_open":
            under = _tokens(page)[at + 1].content
        elif token.type in {"tbody_open", "tbody_close"}:
            in_body = token.type == "tbody_open"
        elif token.type == "td_open" and in_body:
            cells.append(_tokens(page)[at + 1].content)
        elif token.type == "tr_close" and in_body:
            found, cells = [*found, (under, cells)], []
    return [cells for where, cells in found if heading in {None, where}]
