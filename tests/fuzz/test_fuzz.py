"""A short run over strange documents of every kind; `make fuzz` is the long one."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.configuration.errors import ConfigError
from exporter.web.web_config import load_web_config
from tests.conftest import need
from tests.fuzz.check import Check
from tests.fuzz.documents import BOMBS, WEB_CONFIGS
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS
from tests.web.certificates import make_certificates

_EXAMPLES = 100
_COMPARED = 300
_NAMED = re.compile(r"(\d+)\.yaml (SUCCESS|FAILED)")


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """Return the name of a target; what it opens serves all tests of it."""
    return str(request.param)


@pytest.fixture(scope="module")
def check(target: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    with TARGETS[target].opened(tmp_path_factory.mktemp(target)) as opened:
        yield opened


def test_good_documents(target: str, check: Check) -> None:
    """What every strange document is made of keeps the promises."""
    for document in TARGETS[target].documents.good:
        check(document)


def test_single_words(target: str, check: Check) -> None:
    """Each of the words that parsers stumble over keeps the promises by itself."""
    for document in TARGETS[target].documents.tokens:
        check(document)


@settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_strange_documents(target: str, check: Check, data: st.DataObject) -> None:
    """Whatever a document has become, the promises of its kind are kept."""
    documents = TARGETS[target].documents
    good = data.draw(st.sampled_from(documents.good))
    check(mutated(good, data.draw(st.randoms(use_true_random=False)), documents))


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("target", ["config", "web_config"], scope="module")
@pytest.mark.usefixtures("target")
def test_small_files_stay_small(bomb: str, check: Check) -> None:
    """A few lines that stand for millions are refused within seconds."""
    check(BOMBS[bomb])


def test_what_promtool_refuses_is_refused(tmp_path: Path) -> None:
    """A web configuration that has become strange is refused where promtool refuses it."""
    promtool = need("promtool", "it comes with Prometheus")
    make_certificates(tmp_path)
    random = Random(7)
    files = [tmp_path / f"{number}.yaml" for number in range(_COMPARED)]
    for file in files:
        file.write_bytes(mutated(random.choice(WEB_CONFIGS.good), random, WEB_CONFIGS))
    told = subprocess.run([promtool, "check", "web-config", *files], capture_output=True, text=True, check=False)
    verdicts = {int(number): verdict for number, verdict in _NAMED.findall(told.stdout + told.stderr)}
    assert len(verdicts) == _COMPARED
    assert not [number for number, verdict in verdicts.items() if verdict == "FAILED" and _is_taken(files[number])]


def _is_taken(file: Path) -> bool:
    try:
        load_web_config(file)
    except ConfigError:
        return False
    return True
