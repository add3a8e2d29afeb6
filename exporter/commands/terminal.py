"""Text of others, made harmless for a terminal."""


def harmless(text: str) -> str:
    r"""Return a text on one line, without anything that a terminal obeys.

    Control characters, escape sequences, line ends, marks that turn the direction of writing and white space other than the
    space are written as in Python: `\x1b`, `\u202e`.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
