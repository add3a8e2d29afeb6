"""Hostile and careless clients, in a process of their own: `python -m tests.e2e.hostile HOST:PORT SECONDS`."""

import contextlib
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable

Connect = Callable[[], socket.socket]

HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
NOISE = (
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /" + b"x" * 100_000,
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + bytes(200_000),
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + bytes(0x10000),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"\x00" * 4096,
    HALF_A_HELLO,
)


def stay(connect: Connect, said: bytes, number: int, until: float) -> None:
    """Hold so many connections on which this was said and nothing is read; whoever is thrown out comes again."""
    held: list[socket.socket] = []
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            client = connect()
            held.append(client)
            client.sendall(said)
        if len(held) > number:
            held.pop(0).close()
        time.sleep(0.005)
    for client in held:
        client.close()


def drip(connect: Connect, until: float) -> None:
    """Send a request a byte at a time."""
    clients: list[socket.socket] = []
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            clients.append(connect())
        for client in list(clients):
            try:
                client.sendall(b"G")
            except OSError:
                clients.remove(client)
                client.close()
        time.sleep(0.05)


def make_noise(connect: Connect, until: float) -> None:
    """Send what is no request, or none that anybody would send."""
    while time.monotonic() < until:
        for noise in NOISE:
            with contextlib.suppress(OSError), connect() as client:
                client.sendall(noise)
                client.recv(1)


def main() -> None:
    """Attack for so many seconds."""
    (host, _, port), seconds = sys.argv[1].partition(":"), float(sys.argv[2])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    until = time.monotonic() + seconds

    def connect() -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(2)
        client.connect((host, int(port)))
        return client

    attacks: list[Callable[[], None]] = [
        lambda: stay(connect, b"", 2000, until),
        lambda: stay(connect, HALF_A_HELLO, 500, until),
        lambda: stay(connect, SCRAPE * 50, 500, until),
        lambda: drip(connect, until),
        lambda: make_noise(connect, until),
    ]
    threads = [threading.Thread(target=attack) for attack in attacks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
