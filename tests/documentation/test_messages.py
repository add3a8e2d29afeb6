"""The page on troubleshooting quotes the exporter's own words, and has all of its warnings."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.documentation.pages import ROOT, blocks, inline_code, text_of

PAGE = "docs/troubleshooting.md"
_QUOTATION = 4  # words: shorter code on the page is a name, a key, a value
_SAYS = frozenset({"warning", "error", "exception", "say"})
"""Methods of a logger by which it says what somebody should see; `say` is a variable for one of them."""


@cache
def _trees() -> tuple[ast.Module, ...]:
    """Return the code that speaks to users: not the simulator, which plays AWS."""
    files = (path for path in (ROOT / "exporter").rglob("*.py") if "simulator" not in path.parts)
    return tuple(ast.parse(path.read_text(encoding="utf-8")) for path in files)


def _texts() -> Iterator[str]:
    """Yield every text of the code, whole where it is written in parts; of one with values in it, the parts between them."""
    for tree in _trees():
        yield from (
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )


def _logged() -> Iterator[str]:
    """Yield the message of every warning and error that is logged."""
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in _SAYS:
                message = node.args[0]
                if isinstance(message, ast.Constant) and isinstance(message.value, str):
                    yield message.value


def _name(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


QUOTATIONS = [
    *(code for code in inline_code(PAGE) if len(code.split()) >= _QUOTATION),
    *(line for block in blocks(PAGE, "text") for line in block.text.splitlines()),
]


@pytest.mark.parametrize("quotation", QUOTATIONS)
def test_quotations_are_the_exporters_words(quotation: str) -> None:
    """What the page shows as the exporter's words, it says; `…` stands for what differs."""
    texts = list(_texts())
    parts = [part.strip() for part in quotation.split("…")]
    for part in parts:
        assert not part or any(part in text for text in texts), part


def test_quotations_are_found() -> None:
    """The page has quotations, in tables and in blocks, and a text that nobody says is none."""
    assert len(QUOTATIONS) > 40
    assert "the pool does not answer" in QUOTATIONS
    assert not any("the pool is on holiday" in text for text in _texts())


@pytest.mark.parametrize("message", sorted(set(_logged())))
def test_every_warning_is_explained(message: str) -> None:
    """Whoever looks for a warning or an error of the log finds it on the page, word for word."""
    assert message in text_of(PAGE)


def test_warnings_are_found() -> None:
    """The code's warnings are seen: in whichever way a logger is held, or chosen by how bad it is."""
    logged = set(_logged())
    assert {"a selector matches nobody", "a poll failed by a fault", "request failed"} <= logged
    assert "the state cannot be used; the last committed numbers are served, and it is tried again" in logged
