"""How a good document becomes a strange one: cut, repeated, swapped, flipped, and with words that make parsers stumble."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

MOST_BYTES = 256 * 1024
"""Of a document that was made: some tokens are long, and some mutations repeat."""

_MOST_MUTATIONS = 6
_MOST_REPEATS = 50


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents of one kind: good ones, what is a word in them, and what to put in the place of words."""

    good: Sequence[bytes]
    word: re.Pattern[bytes]
    tokens: Sequence[bytes]


def mutated(data: bytes, random: Random, documents: Documents) -> bytes:
    """Return a document with a few mutations."""
    for _ in range(random.randint(1, _MOST_MUTATIONS)):
        data = _MUTATIONS[random.choice(_NAMES)](data, random, documents)[:MOST_BYTES]
    return data


def _part(data: bytes, random: Random) -> tuple[int, int]:
    """Return where some part of a document begins and ends."""
    first, second = random.randint(0, len(data)), random.randint(0, len(data))
    return min(first, second), max(first, second)


def _cut(data: bytes, random: Random, _: Documents) -> bytes:
    begin, end = _part(data, random)
    return data[:begin] + data[end:]


def _repeat(data: bytes, random: Random, _: Documents) -> bytes:
    begin, end = _part(data, random)
    return data[:begin] + data[begin:end] * random.randint(2, _MOST_REPEATS) + data[end:]


def _swap(data: bytes, random: Random, _: Documents) -> bytes:
    begin, end = _part(data, random)
    middle = random.randint(begin, end)
    return data[:begin] + data[middle:end] + data[begin:middle] + data[end:]


def _flip(data: bytes, random: Random, _: Documents) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + bytes([byte ^ (1 << random.randint(0, 7)) for byte in data[at : at + 1]]) + data[at + 1 :]


def _insert(data: bytes, random: Random, documents: Documents) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(documents.tokens) + data[at:]


def _replace_word(data: bytes, random: Random, documents: Documents) -> bytes:
    words = list(documents.word.finditer(data))
    if not words:
        return random.choice(documents.tokens)
    begin, end = random.choice(words).span()
    return data[:begin] + random.choice(documents.tokens) + data[end:]


def _repeat_line(data: bytes, random: Random, _: Documents) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    line = random.choice(lines)
    lines.insert(random.randint(0, len(lines)), line)
    return b"".join(lines)


def _cross(data: bytes, random: Random, documents: Documents) -> bytes:
    """Put a part of another good document in."""
    other = random.choice(documents.good)
    begin, end = _part(other, random)
    at = random.randint(0, len(data))
    return data[:at] + other[begin:end] + data[at:]


_MUTATIONS: Mapping[str, Callable[[bytes, Random, Documents], bytes]] = {
    "replace a word": _replace_word,
    "insert": _insert,
    "cut": _cut,
    "repeat": _repeat,
    "swap": _swap,
    "flip": _flip,
    "repeat a line": _repeat_line,
    "cross": _cross,
}
_NAMES = ("replace a word", *_MUTATIONS, "replace a word")  # what is still a document goes deepest into a parser
