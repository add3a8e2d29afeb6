"""One HTTP attempt a call: botocore builds and signs the request, libcurl sends it, and an observer hears of it."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from botocore.awsrequest import AWSRequest, create_request_object
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.session import Session
from botocore.signers import RequestSigner
from botocore.utils import get_environ_proxies

from exporter.fetch.curl import Answer, Curl
from exporter.fetch.failure import SENTENCES, Exchange, failure_of
from exporter.fetch.outcome import FetchError, Outcome

_T = TypeVar("_T")

_LARGE = 2**18  # bytes; an answer is rarely larger, so that most need not be looked through
_MOST_PARTS = 100_000  # of a large answer: a page of 60 users with 50 attributes each has some 12,000

OnRequest = Callable[[str, Outcome, float], None]
"""(operation, outcome, seconds): hears of each HTTP attempt once it has ended, in the thread that made it."""

Failed = Callable[[FetchError, bool], None]
"""(error, whether the request was sent)"""


@dataclass(slots=True)
class _Call:
    """Who hears of the calling thread's attempts, and the one that it is in."""

    on_request: OnRequest
    exchange: Exchange


class _Thread(threading.local):
    """The call that the calling thread is in."""

    def __init__(self) -> None:
        self.call = _Call(lambda *_: None, Exchange())


class Attempts:
    """The HTTP attempts of sources. Of those in the way of a call, that look for credentials, hears whoever hears of the call."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Take a clock that never goes back."""
        self.monotonic = monotonic
        self._thread = _Thread()

    def make(
        self, operation: str, on_request: OnRequest, call: Callable[[], _T], failed: Failed, exchange: Exchange
    ) -> _T:
        """Make a call, of one request of its own at most; raise nothing but `FetchError`, of which `failed` hears first.

        `exchange`, a new one, tells meanwhile how far the request has got.
        """
        current, outer = _Call(on_request, exchange), self._thread.call
        self._thread.call = current
        outcome = Outcome.OK
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - whatever an answer makes of a parser is an outcome
            failure = failure_of(error, operation, current.exchange)
            outcome = failure.outcome
            failed(failure, current.exchange.sent is not None)
            raise failure from None  # the cause may hold a user name
        finally:
            self._thread.call = outer
            self._tell(operation, current, outcome)

    def _tell(self, operation: str, call: _Call, outcome: Outcome) -> None:
        if call.exchange.sent is not None:
            call.on_request(operation, outcome, self.monotonic() - call.exchange.sent)

    # -- clients -------------------------------------------------------------------------------------------------------

    def take_over(self, client: BaseClient, session: Session, timeout: float, *, direct: bool, inner: bool) -> None:
        """Take a client's requests over once they are built: under bounds that botocore lacks, and at a lower price.

        `direct` goes by no proxy; `inner` attempts are told of by themselves, not by the call that they come in the way of.
        """
        curl = _new_curl(client.meta.endpoint_url, session, timeout, direct=direct)
        # No public way leads to what the client closes; its own connections have never been used.
        client._endpoint.http_session = curl  # type: ignore[attr-defined]  # noqa: SLF001
        handler = partial(self._inner if inner else self._exchanged, curl)
        client.meta.events.register_last("before-call", handler)  # type: ignore[arg-type]

    def _inner(self, curl: Curl, *, model: OperationModel, **more: Any) -> tuple[Answer, Any]:
        """Make an attempt within another call, as botocore does that looks for credentials."""
        outer = self._thread.call
        current = self._thread.call = _Call(outer.on_request, Exchange())
        outcome = Outcome.OK
        try:
            answer, content = self._exchanged(curl, model=model, **more)
            if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:  # botocore raises this once it has the answer
                outcome = failure_of(ClientError(content, model.name), model.name, current.exchange).outcome
        except Exception as error:  # noqa: BLE001 - as above
            failure = failure_of(error, model.name, current.exchange)
            outcome = failure.outcome
            raise failure from None
        else:
            return answer, content
        finally:
            self._thread.call = outer
            self._tell(model.name, current, outcome)

    def _exchanged(
        self,
        curl: Curl,
        *,
        model: OperationModel,
        params: Mapping[str, Any],
        request_signer: RequestSigner,
        **_: object,
    ) -> tuple[Answer, Any]:
        """Sign a request, send it and read the answer, in botocore's stead: its `before-call` event, which may answer.

        What botocore does itself from here on is for retries, streams, shapes, and those who listen at its other events;
        it took 0.1 ms of a call's 0.6 ms of processor time, and 0.9 of 2.0 where a page has 60 events.
        """
        request = create_request_object(params)
        request_signer.sign(model.name, request)
        answer = self._send(curl, request)
        return answer, _content(model, answer)

    def _send(self, curl: Curl, request: AWSRequest) -> Answer:
        # JSON is bytes already; to prepare a request takes 0.02 ms, most of it for headers that forget upper and lower case
        body = request.data if isinstance(request.data, bytes) else _bytes(request.prepare().body)
        headers = {name: _bytes(value) for name, value in request.headers.items()}
        exchange = self._thread.call.exchange
        exchange.sent = self.monotonic()
        answer = curl.post(str(request.url), body, headers)
        exchange.status = answer.status_code
        return answer


def _new_curl(url: str, session: Session, timeout: float, *, direct: bool) -> Curl:
    """Return what trusts whom botocore would, and goes by the proxy that it would go by."""
    proxies = {} if direct else get_environ_proxies(url)
    proxy = ProxyConfiguration(proxies).proxy_url_for(url)
    bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True)
    return Curl(timeout=timeout, ca_file=str(bundle), proxy=proxy)


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _content(model: OperationModel, answer: Answer) -> Any:
    """Return what an answer holds: JSON as it is, whose kinds and dates `answer` checks; the rest as botocore reads it.

    botocore's own walk along the shapes takes most of that 0.9 ms, and refuses a page for one entry.
    """
    if _is_bloated(answer.body):
        raise FetchError(Outcome.MALFORMED, f"{model.name}: {SENTENCES[Outcome.MALFORMED]} (it has too many parts)")
    protocol = model.service_model.resolved_protocol
    if protocol == "json" and answer.status_code == HTTPStatus.OK:
        return json.loads(answer.body)
    # Of an error's head these protocols read the id of the request, which nobody wants to know.
    whole = {"status_code": answer.status_code, "headers": {}, "body": answer.body}
    return create_parser(protocol).parse(whole, model.output_shape)  # type: ignore[arg-type] # it may be None


def _is_bloated(body: bytes) -> bool:
    """Tell whether a body would take up to fifty times its size as objects, in each worker at once."""
    return len(body) > _LARGE and sum(map(body.count, (b"[", b"{", b","))) > _MOST_PARTS
