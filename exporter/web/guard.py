"""What the web configuration does to every request: headers, a limit of requests, passwords."""

import time
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.passwords import Passwords, Verdict
from exporter.web.web_config import WebConfig
from exporter.web.web_files import WebConfigError, WebConfigFiles
from exporter.web.web_models import RateLimit

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="cognito-auth-exporter"'}
_RETRY = {"Retry-After": "1"}  # seconds; a check of a password takes some tenths of one
_ANSWERS: Mapping[Verdict, tuple[int, str, Mapping[str, str]]] = {
    Verdict.REFUSED: (401, "Unauthorized", _CHALLENGE),
    Verdict.BUSY: (503, "Too many passwords are being checked: try again.", _RETRY),
}


class TokenBucket:
    """A rate limit as golang.org/x/time/rate keeps it: full at first, one token more after each interval."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self.limit = limit
        self._tokens = float(limit.burst)
        self._then = now

    def allows(self, now: float) -> bool:
        """Return whether a request may be answered; takes a token if so."""
        if self.limit.interval <= 0:
            return True
        self._tokens = min(self._tokens + (now - self._then) / self.limit.interval, float(self.limit.burst))
        self._then = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Guard:
    """An ASGI application around another one: in the toolkit's order broken file, rate limit, password, and then the inner."""

    def __init__(
        self,
        app: ASGIApp,
        files: WebConfigFiles,
        passwords: Passwords,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._files = files
        self._passwords = passwords
        self._clock = clock
        self._bucket = TokenBucket(files.last_good.rate_limit, clock())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            config = self._files.current()
        except WebConfigError:
            await _answer(scope, _with_headers(send, self._files.last_good.headers), 500, "Internal Server Error")
            return
        await self._guarded(config, scope, receive, _with_headers(send, config.headers))

    async def _guarded(self, config: WebConfig, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._has_token(config.rate_limit):
            await _answer(scope, send, 429, "Too Many Requests")
            return
        verdict = await self._verdict(config, scope) if config.users else Verdict.ADMITTED
        if verdict is Verdict.ADMITTED:
            await self._app(scope, receive, send)
        else:
            await _answer(scope, send, *_ANSWERS[verdict])

    def _has_token(self, limit: RateLimit) -> bool:
        if limit != self._bucket.limit:
            self._bucket = TokenBucket(limit, self._clock())
        return self._bucket.allows(self._clock())

    async def _verdict(self, config: WebConfig, scope: Scope) -> Verdict:
        authorizations = [value for name, value in scope["headers"] if name == b"authorization"]
        client = scope["client"][0] if scope.get("client") else ""
        return await self._passwords.verdict(authorizations, config.users, client)


def _with_headers(send: Send, configured: Mapping[str, str]) -> Send:
    """Return a `send` that puts the configured headers in the place of the application's own of these names."""
    ours = [(name.lower().encode(), value.encode()) for name, value in configured.items()]
    names = {name for name, _ in ours}

    async def sends(message: Message) -> None:
        if ours and message["type"] == "http.response.start":
            others = [each for each in message.get("headers", ()) if each[0].lower() not in names]
            message = {**message, "headers": [*others, *ours]}
        await send(message)

    return sends


async def _answer(scope: Scope, send: Send, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
    """Answer in plain text; to HEAD with the headers alone."""
    body = f"{text}\n".encode()
    head = Headers(
        {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            **(headers or {}),
        }
    )
    await send({"type": "http.response.start", "status": status, "headers": head.raw})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
