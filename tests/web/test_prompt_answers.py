"""Answers are on their way at once."""

import socket

import httpx
import pytest

from exporter.web.server import ListenAddress, bind
from tests.conftest import eventually
from tests.web.conftest import Serve
from tests.web.test_web_app import app_with


def test_no_answer_waits_for_an_acknowledgement(serve: Serve) -> None:
    """On no connection does a small packet wait until the one before it is acknowledged, which clients put off for 40 ms."""
    running = serve(app_with())
    trust = running.client_tls or True
    with httpx.Client(base_url=running.url.replace("127.0.0.1", "localhost"), verify=trust, trust_env=False) as client:
        assert client.get("/-/healthy").status_code == 200
        connections = running.server._server.server_state.connections
        eventually(lambda: connections, "the connection")
        sockets = [each.transport.get_extra_info("socket") for each in connections]
        assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in sockets)


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_every_listening_socket_hands_it_on(host: str) -> None:
    """Connections have it from the socket that listens, be that of one address or of all."""
    (listening,) = bind([ListenAddress(host, 0)])
    with listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1])) as client:
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert client.recv(1) == b""
