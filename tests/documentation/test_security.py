"""What the page on security says of files and of the image is so."""

import re
import stat
from pathlib import Path

from exporter.event_log.sink import check
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from tests.documentation.pages import ROOT, text_of

PAGE = "docs/security.md"


def test_files_have_the_modes_told(tmp_path: Path) -> None:
    """The state file and the event log are made with the modes that the page names: nobody else reads the state."""
    SqliteLedger(tmp_path / "state.db", Settings(900.0, 600.0, 3600.0, 60.0, 5000, per_user=False), 0.0).close()
    check(tmp_path / "events.jsonl")
    for key, name in (("state.path", "state.db"), ("event_log.path", "events.jsonl")):
        told = re.search(rf"`{key}`, mode (\d+)", text_of(PAGE))
        assert told is not None
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == int(told[1], 8)


def test_image_installs_what_the_lock_pins() -> None:
    """The image takes nothing from a package index but wheels whose hashes are in the lock."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    for words in ("--require-hashes", "--only-binary :all:", "requirements.lock"):
        assert words in dockerfile
