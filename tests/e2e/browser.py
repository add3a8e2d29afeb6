"""A headless Chromium, spoken to by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

import base64
import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.conftest import WAIT, Process, eventually, need

_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-default-apps", "--disable-extensions", "--remote-debugging-port=0"),
]
_TROUBLE = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Audits.issueAdded"}
"""What a page without fault never has: console messages, violations of its policy, accessibility issues."""


class Tab:
    """One page of the browser; every wait is bounded."""

    def __init__(self, connection: ClientConnection) -> None:
        self._socket = connection
        self._ids = itertools.count(1)
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Audits", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        answer = self._receive(lambda message: message.get("id") == number)
        assert "error" not in answer, (method, answer)
        return dict(answer["result"])

    def _receive(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first message that is wanted; events on the way are kept."""
        deadline = time.monotonic() + WAIT
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=deadline - time.monotonic()))
            if "method" in message:
                self._events.append(message)
            if wanted(message):
                return message

    def show(self, url: str, *, width: int, scheme: str) -> None:
        """Open a page in a window this wide, in `light` or `dark`, and wait until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        self.call("Page.navigate", url=url)
        if not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive(lambda message: message.get("method") == "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What the browser had to say against the page since it was shown."""
        return [event for event in self._events if event["method"] in _TROUBLE]

    def nodes(self, role: str) -> list[str]:
        """Return the names of the nodes of a role, as a screen reader tells them."""
        tree = self.call("Accessibility.getFullAXTree")["nodes"]
        of_role = (node for node in tree if not node["ignored"] and node["role"]["value"] == role)
        return [node.get("name", {}).get("value", "") for node in of_role]

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])


@contextmanager
def open_tab(folder: Path) -> Iterator[Tab]:
    """Give a tab of a browser of its own, which ends with the context and leaves its profile nowhere."""
    profile = folder / "profile"
    profile.mkdir()
    chromium = need("chromium", "apt-get install chromium")
    process = Process([chromium, *_FLAGS, f"--user-data-dir={profile}", "about:blank"], folder)
    try:
        with connect(_address(profile), max_size=None, open_timeout=WAIT) as connection:
            yield Tab(connection)
    finally:
        try:
            process.end()
        finally:
            process.close()
        shutil.rmtree(profile, ignore_errors=True)


def _address(profile: Path) -> str:
    """Wait until the browser has written where it listens, and return that."""
    port_file = profile / "DevToolsActivePort"
    eventually(lambda: len(port_file.read_text().splitlines()) == 2, "the browser")
    port, path = port_file.read_text().splitlines()
    return f"ws://127.0.0.1:{port}{path}"
