"""Servers on loopback: one that checks what bazel-remote checks, and misbehaves where it is told to; nginx."""

import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from nnrules.cache.action_result import decode
from tests.needs import need_command


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    home: "Server"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer. Underscores in names of headers stand for hyphens."""
        if self.command == "PUT":
            self.body()
        self.send_response(status)
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self) -> None:
        """Misbehave if told to, else do as bazel-remote does."""
        self.home.requests.append((self.command, self.path))
        self.home.headers.append(dict(self.headers.items()))
        behaviour = self.home.faults.get((self.command, self.address[0]))
        if behaviour is None:
            self.behave()
            return
        self.close_connection = True
        with suppress(OSError):
            behaviour(self)

    def body(self) -> bytes:
        """What the request brings; once."""
        length = int(self.headers.get("Content-Length", 0))
        self.headers.replace_header("Content-Length", "0")
        return self.rfile.read(length)

    @property
    def address(self) -> tuple[str, str]:
        """ "ac" or "cas", and the rest."""
        kind, _, name = self.path.removeprefix(self.home.base).strip("/").partition("/")
        return kind, name

    def behave(self) -> None:
        """As bazel-remote does."""
        kind, name = self.address
        if self.command == "PUT":
            self.put(kind, name, self.body())
        elif (content := self.home.held.get(f"{kind}/{name}")) is None or not self.home.complete(kind, content):
            self.answer(404, b"Not found")
        else:
            self.answer(200, content)

    do_GET = do_HEAD = do_PUT = do_MKCOL = serve  # noqa: N815 - the names that http.server calls

    def put(self, kind: str, name: str, content: bytes) -> None:
        """bazel-remote verifies contents, and that entries are ActionResults."""
        if kind == "cas" and hashlib.sha256(content).hexdigest() != name:
            self.answer(400, b"wrong hash")
        elif kind == "ac" and not self.home.complete(kind, content):
            self.answer(400, b"no contents")
        else:
            self.home.held[f"{kind}/{name}"] = content
            self.answer(200)


@dataclass
class Server:
    """`held`: content by path. `faults`: what to do instead, by method and "ac" or "cas"."""

    base: str = ""
    held: dict[str, bytes] = field(default_factory=dict)
    faults: dict[tuple[str, str], Callable[[Handler], None]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """For the settings."""
        return f"http://127.0.0.1:{self.port}{self.base}"

    def complete(self, kind: str, content: bytes) -> bool:
        """Whether all contents of an entry are there; bazel-remote gives no other entry."""
        if kind != "ac":
            return True
        key = content[content.index(b"*\x40") + 2 :][:64].decode()  # stdout_raw, which holds the key
        return all(each.size == 0 or f"cas/{each.sha256}" in self.held for each in decode(key, content).outputs)

    def asked(self, method: str, kind: str) -> int:
        """How many requests of a kind came."""
        return sum(each == method and f"/{kind}/" in path for each, path in self.requests)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are expected."""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server, listening."""

    class Bound(Handler):
        pass

    listener = _Listener(("127.0.0.1", 0), Bound)
    Bound.home = server
    server.port = listener.server_address[1]
    threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port


_NGINX = """
daemon off; master_process off; pid {top}/nginx.pid; error_log {top}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log {top}/access.log; client_body_temp_path {top}/body; proxy_temp_path {top}/proxy;
    fastcgi_temp_path {top}/fastcgi; uwsgi_temp_path {top}/uwsgi; scgi_temp_path {top}/scgi;
    client_max_body_size {largest};
    server {{
        listen 127.0.0.1:{port}{tls};
        location / {{ root {top}/www; dav_methods PUT DELETE MKCOL; create_full_put_path {full_path}; {more} }}
    }}
}}
"""


@contextmanager
def nginx(
    top: Path, full_path: bool = True, more: str = "", largest: str = "0", certificate: Path | None = None
) -> Iterator[str]:
    """nginx with its WebDAV module, files under `top`/www: its URL."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        need_command("nginx", "nginx-light")
    (top / "www").mkdir(parents=True)
    port = free_port()
    tls = f" ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate}" if certificate else ""
    on = "on" if full_path else "off"
    text = _NGINX.format(top=top, port=port, more=more, full_path=on, largest=largest, tls=tls)
    (top / "nginx.conf").write_text(text)
    assert program is not None
    process = subprocess.Popen([program, "-p", str(top), "-c", str(top / "nginx.conf")], stderr=subprocess.PIPE)
    try:
        _wait_for(port, process)
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(process.communicate()[1].decode())
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise TimeoutError


def certificate(top: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one file."""
    need_command("openssl", "openssl")
    path = top / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(top / "public.pem")]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    path.write_text(path.read_text() + (top / "public.pem").read_text())
    return path
