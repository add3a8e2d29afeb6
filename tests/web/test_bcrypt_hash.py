"""bcrypt hashes as Go reads them."""

import bcrypt
import pytest

from exporter.web.bcrypt_hash import parse_bcrypt_hash

MADE = bcrypt.hashpw("pässword".encode(), b"$2b$04$" + b"abcdefghijklmnopqrstuu").decode()
TAIL = MADE.removeprefix("$2b$04$")


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"{start}{TAIL}"
            for start in ["$2a$04$", "$2b$04$", "$2y$04$", "$2x$04$", "$2$04$", "$1a$04$", "$2b$+4$", "$2b$04!"]
        ),
        MADE + "what stands behind the hash",
        f"$2b$04${TAIL[:21]}v{TAIL[22:]}",  # the last letter's lower four bits belong to no byte of the salt
    ],
)
def test_what_go_takes_is_checked_as_go_does(text: str) -> None:
    """Every way of writing a hash that Go knows admits its password and no other."""
    found = parse_bcrypt_hash(text)
    assert found.usable
    assert found.matches("pässword".encode())
    assert not found.matches(b"password")
    assert not found.matches(b"")


@pytest.mark.parametrize("text", [MADE[:-1], f"$2b$04$!{TAIL[1:]}", f"$2b$04${TAIL[:20]}é{TAIL[21:]}"])
def test_what_no_password_matches(text: str) -> None:
    """A hash that Go takes and that can match nothing matches nothing here, at its own cost."""
    found = parse_bcrypt_hash(text)
    assert (found.usable, found.cost) == (False, 4)
    assert not found.matches("pässword".encode())


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "not a bcrypt hash"),
        ("password", "not a bcrypt hash"),
        (MADE[:-2], "not a bcrypt hash"),
        (f"$3b$04${TAIL}", "not a bcrypt hash"),
        (f"$2b$0x${TAIL}", "not a bcrypt hash"),
        (f"$2b$03${TAIL}", "from 4 to 31, not 3"),
        (f"$2b$32${TAIL}", "from 4 to 31, not 32"),
    ],
)
def test_what_is_no_hash(text: str, mistake: str) -> None:
    """What Go refuses is refused, and is not shown: it may be a password."""
    with pytest.raises(ValueError, match=mistake) as caught:
        parse_bcrypt_hash(text)
    assert not text or text not in str(caught.value)
