"""The HTTP server: Cognito's JSON 1.1 protocol on loopback, answered from a world, with faults on demand."""

import json
import socket
import struct
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from exporter.simulator.faults import Fault, Faults, Kind
from exporter.simulator.operations import LARGEST_PAGE, Api, Call, ServiceError, TokenMode
from exporter.simulator.reply import JSON, Reply, good, refusal, spoilt
from exporter.simulator.request_log import RequestLog
from exporter.simulator.strange import Draft
from exporter.simulator.world import World

LOOPBACK = "127.0.0.1"
_TARGET = "AWSCognitoIdentityProviderService."
_LARGEST_BODY = 1 << 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Simulator:
    """Cognito on a port of this machine, for itself alone unless `host` says else, from construction to `close`.

    `clock` gives the world its time (epoch seconds). `page_size` makes pages shorter than they were asked to be. Raises
    OSError where the port is taken.
    """

    def __init__(
        self,
        world: World,
        *,
        faults: Faults | None = None,
        host: str = LOOPBACK,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        tokens: TokenMode = TokenMode.STABLE,
        page_size: int = LARGEST_PAGE,
    ) -> None:
        self.faults = faults or Faults()
        self.requests = RequestLog()
        self._api = Api(world, tokens=tokens, page_size=page_size)
        self._clock = clock
        self._closing = threading.Event()
        self._host = host
        self._server = _Server(host, port, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="simulator", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to give boto3 as `endpoint_url`."""
        return f"http://{self._host}:{self._server.server_port}"

    def close(self) -> None:
        """End every connection and thread; no request is answered after this. A second call does nothing."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reply(self, call: Call) -> Reply | None:
        """Return what to answer a call with, None to reset the connection; a call that hangs returns when closing."""
        now = time.monotonic()
        self.requests.note(call, now)
        delay, fault = self.faults.strike(call, now)
        if delay:
            self._closing.wait(delay)
        if fault is not None and fault.kind is Kind.HANG:
            self._closing.wait()
        if fault is not None and fault.kind in {Kind.RESET, Kind.HANG}:
            return None
        return self._answered(call, fault)

    def _answered(self, call: Call, fault: Fault | None) -> Reply:
        if fault is not None and fault.error_code is not None:
            return refusal(ServiceError(fault.error_code, "Injected by the simulator."))
        now = self._clock()
        try:
            answer = self._api.answer(call, now)
        except ServiceError as error:
            return refusal(error)
        if fault is None:
            return good(answer)
        return spoilt(fault.kind, Draft(call, answer, lambda: self._api.foreign_event(call, now)))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, host: str, port: int, simulator: Simulator) -> None:
        self.simulator = simulator
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, and remember both for the end."""
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]

    def end_connections(self) -> None:
        """Cut every connection and wait for its thread."""
        with self._lock:
            connections = dict(self._connections)
        for thread, connection in connections.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def shutdown_request(self, request: Any) -> None:
        """Close without the usual shutdown, whose FIN would come before a reset."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report mistakes of the simulator, and not that a client went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one segment

    def do_POST(self) -> None:
        """Answer a call of an operation."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            self.send_error(413 if length.isdecimal() else 411)
            return
        try:
            call = self._call(self.rfile.read(int(length)))
        except ServiceError as error:
            self._send(refusal(error))
            return
        reply = self.server.simulator.reply(call)
        if reply is None:
            self._reset()
        else:
            self._send(reply)

    def _call(self, body: bytes) -> Call:
        target = self.headers.get("X-Amz-Target", "")
        if not target.startswith(_TARGET):
            raise ServiceError("UnknownOperationException", "")
        try:
            parameters = json.loads(body)
        except ValueError:
            parameters = None
        if not isinstance(parameters, dict):
            raise ServiceError("SerializationException", "")
        return Call(target.removeprefix(_TARGET), parameters)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close_connection = True

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        length = ("Content-Length", str(len(reply.body))) if reply.foretold else ("Connection", "close")
        self.send_header(*length)
        if reply.content_type == JSON:  # a page that is not the service's own does not carry the service's id
            self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        if reply.error_code is not None:
            self.send_header("x-amzn-ErrorType", f"{reply.error_code}:")
        if reply.encoding is not None:
            self.send_header("Content-Encoding", reply.encoding)
        self.end_headers()
        self.wfile.write(reply.body[: reply.sent])
        self.close_connection |= reply.sent is not None

    def log_message(self, *_: object) -> None:
        """Keep standard error clean."""
