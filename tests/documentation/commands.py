"""The commands that pages tell people to paste, as a shell reads them; and what the pages say of those that no test runs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from tests.documentation.pages import blocks, text_of

_PARSER = Parser(Language(tree_sitter_bash.language()))
_DEFINITIONS = frozenset({"function_definition", "variable_assignment", "variable_assignments"})
ALL = "the commands of this page"
"""What a page excuses none of whose commands is run."""
_EXCUSE = re.compile(rf"No test runs ({ALL}|(?:`[^`]+`(?:,| or)?\s?)+):\s([^.]+)\.")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a page, with the line on which it stands and the programs that it runs, functions of the page among them.

    `defines` tells that it runs nothing, and is there for those after it: a function, a variable.
    """

    page: str
    line: int
    text: str
    programs: frozenset[str]
    defines: bool

    def __str__(self) -> str:
        """Return the place and the text."""
        return f"{self.page}:{self.line}: {self.text}"


@cache
def commands(page: str) -> tuple[Command, ...]:
    """Return the commands of a page in their order; of lines that go on, or belong together, the whole."""
    return tuple(command for block in blocks(page, "sh") for command in _in_block(page, block.text, block.line))


def _in_block(page: str, text: str, line: int) -> Iterator[Command]:
    tree = _PARSER.parse(text.encode()).root_node
    assert not tree.has_error, f"{page}:{line}: no shell reads this:\n{text}"
    for node in tree.named_children:
        if node.type != "comment":
            defines = node.type in _DEFINITIONS
            yield Command(page, line + node.start_point.row, _text(node), frozenset(_programs(node)), defines)


def _programs(node: Node) -> Iterator[str]:
    if node.type == "command_name":
        yield _text(node)
    for child in node.named_children:
        yield from _programs(child)


def functions(page: str) -> frozenset[str]:
    """Return the functions that a page's commands define."""
    trees = (_PARSER.parse(command.text.encode()).root_node for command in commands(page))
    nodes = (node for tree in trees for node in tree.named_children if node.type == "function_definition")
    return frozenset(_text(name) for node in nodes if (name := node.child_by_field_name("name")) is not None)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def excuses(page: str) -> dict[str, tuple[str, int]]:
    """Return what a page says that no test runs, each with the reason and the line on which it is said."""
    text = text_of(page)
    return {
        _in_one_line(name): (_in_one_line(found[2]), text.count("\n", 0, found.start()) + 1)
        for found in _EXCUSE.finditer(text)
        for name in re.findall(r"`([^`]+)`", found[1]) or [found[1]]
    }
