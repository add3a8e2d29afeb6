"""What is fuzzed: documents of a kind, and what is promised of each that comes of them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import documents
from tests.fuzz.answers import answers, refusals
from tests.fuzz.check import Check
from tests.fuzz.files import configs, web_configs
from tests.fuzz.http_requests import http_requests
from tests.fuzz.mutations import Documents


@dataclass(frozen=True, slots=True)
class Target:
    """Documents of one kind, and what opens the check of these; it may use a folder."""

    documents: Documents
    opened: Callable[[Path], AbstractContextManager[Check]]


TARGETS: Mapping[str, Target] = {
    "answer": Target(documents.ANSWERS, answers),
    "refusal": Target(documents.REFUSALS, refusals),
    "config": Target(documents.CONFIGS, configs),
    "web_config": Target(documents.WEB_CONFIGS, web_configs),
    "request": Target(documents.REQUESTS, http_requests),
}
