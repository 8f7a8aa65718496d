"""The real servers that the tests use: started, hurt, asked and stopped."""

import os
import secrets
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Self

import pytest
import trustme

from memocache._clock import ticks
from tests.support.binaries import MemcachedBinary, find_memcached
from tests.support.binaries import unpack_memcached as unpack_memcached

Address = str | tuple[str, int]  # a unix socket's path | (host, port), as pymemcache.Client takes them

START_SECONDS = 10.0
STOP_SECONDS = 5.0
PORT_TRIES = 5


class ServerFailed(Exception):
    """A server did not start or does not run; the message has what it wrote to stderr."""


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test; fail it where servers were promised, lest a green run hides that none was tested."""
    promises = (os.environ.get(name, "").lower() for name in ("CI", "MEMOCACHE_REQUIRE_SERVERS"))
    if any(promise in {"1", "true", "yes"} for promise in promises):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def free_port() -> int:
    """Return a free TCP port outside the range that the kernel takes clients' ports from.

    Inside that range, a client of a dead server may be given the server's own port, and reach itself.
    """
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerFailed("no free TCP port between 20000 and 32000")


def connect(address: Address, seconds: float | None = None) -> socket.socket:
    """Return a stream to *address*; each call on it waits *seconds* at most, None: for ever."""
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout=seconds)
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(seconds)
        stream.connect(address)
    except BaseException:
        stream.close()
        raise
    return stream


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Return True as soon as *condition* holds, False after *seconds*, frozen clock or not."""
    deadline, pause = ticks() + seconds, threading.Event()
    while not condition():
        if ticks() > deadline:
            return False
        pause.wait(0.002)
    return True


class Server(ABC):
    """A server of the tests' own, on a unix socket or, with *tcp*, on 127.0.0.1 and a free port.

    It runs from `start()` to `stop()`, or within a with-block. In between its address stays the same,
    whatever happens to the process.
    """

    address: Address
    title: str

    def __init__(self, *, tcp: bool = False) -> None:
        self._tcp = tcp
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return what starts it at its address; what it writes goes to `directory`."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether it, and nobody else, answers at its address."""

    @property
    def environ(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def directory(self) -> Path:
        assert self._directory is not None, "start() goes first"
        return Path(self._directory.name)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        # It has nothing to save, and SIGTERM takes it up to a second.
        self.kill()
        self.stop()

    @property
    def socket_path(self) -> str:
        assert isinstance(self.address, str), "this server listens on TCP"
        return self.address

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed(f"{self.title} is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start it on a new address and return it when it answers."""
        assert self._directory is None, "it has been started already"
        # Not pytest's tmp_path: the path of a unix socket has 107 bytes at most.
        self._directory = tempfile.TemporaryDirectory(prefix="mc")
        try:
            for tries_left in reversed(range(PORT_TRIES if self._tcp else 1)):
                self.address = ("127.0.0.1", free_port()) if self._tcp else str(Path(self._directory.name, "s"))
                try:
                    self._launch()
                    break
                except ServerFailed:
                    if not tries_left:
                        raise
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it politely, by force after 5 seconds, and remove what it leaves behind."""
        self._end(signal.SIGTERM)
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def kill(self) -> None:
        """End it at once, as a crash would; `restart()` brings it back."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it, if it runs, and start an empty one on the same address."""
        self.kill()
        self._launch()

    def pause(self) -> None:
        """Stop it from running, and return when it has stopped: the kernel still accepts its connections."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _launch(self) -> None:
        errors = self.directory / "stderr"
        with errors.open("wb") as stderr:
            self._process = process = subprocess.Popen(
                self.command(), env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
            )
        wait_until(lambda: process.poll() is not None or self.answers(), START_SECONDS)
        if process.poll() is not None or not self.answers():
            self.kill()
            said = errors.read_text(errors="replace").strip()
            raise ServerFailed(f"{self.title} did not start at {self.address}, status {process.returncode}: {said}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)  # a paused process does not even hear SIGTERM
            if not wait_until(lambda: process.poll() is not None, STOP_SECONDS):
                process.kill()
        process.wait()


class MemcachedServer(Server):
    """A memcached of the tests' own."""

    title = "memcached"

    def __init__(
        self,
        *,
        tcp: bool = False,
        memory_mb: int = 32,
        max_item_size: int | str | None = None,
        threads: int = 2,
        connections: int = 1024,
        moves_items: bool = True,
        binary: MemcachedBinary | None = None,
    ) -> None:
        super().__init__(tcp=tcp)
        self._options = ["-m", str(memory_mb), "-t", str(threads), "-c", str(connections)]
        if max_item_size is not None:
            self._options += _item_size_options(max_item_size)
        if not moves_items:
            self._options += ["-o", "no_lru_maintainer"]
        self._binary = binary

    def command(self) -> list[str]:
        return [self._found().path, *self._where(), *self._options]

    @property
    def environ(self) -> dict[str, str]:
        return self._found().environ

    def _found(self) -> MemcachedBinary:
        return self._binary or _any_binary()

    def connect(self) -> socket.socket:
        """Return a stream to it."""
        return connect(self.address, STOP_SECONDS)

    def stats(self) -> dict[str, str]:
        """Return what it answers to `stats`."""
        found: dict[str, str] = {}
        with self.connect() as stream, stream.makefile("rwb") as file:
            file.write(b"stats\r\n")
            file.flush()
            while (line := file.readline().decode("ascii")) != "END\r\n":
                if not line:
                    raise ServerFailed("memcached closed the connection")
                _, name, value = line.rstrip("\r\n").split(" ", 2)
                found[name] = value
        return found

    def _where(self) -> list[str]:
        is_root = os.geteuid() == 0
        if isinstance(self.address, tuple):
            host, port = self.address
            return ["-l", host, "-p", str(port), "-U", "0", *(["-u", "nobody"] if is_root else [])]
        # As nobody, root's memcached could not bind inside a directory that is root's alone.
        return ["-s", self.address, "-a", "700", *(["-u", "root"] if is_root else [])]

    def answers(self) -> bool:
        try:
            # Another process may have been faster to take the port.
            return self.stats().get("pid") == str(self.pid)
        except (OSError, ServerFailed):
            return False


class TlsMemcachedServer(MemcachedServer):
    """A memcached that speaks TLS only, with a certificate for 127.0.0.1 of an authority of its own.

    Args:
        asks_clients: whether clients have to show a certificate of that authority.
        options: as of MemcachedServer.
    """

    def __init__(self, *, asks_clients: bool = False, **options: Any) -> None:
        super().__init__(tcp=True, **options)
        self._asks_clients = asks_clients
        self._authority = trustme.CA()

    def command(self) -> list[str]:
        self._authority.cert_pem.write_to_path(self.ca_file)
        for name, host in (("server", "127.0.0.1"), ("client", "client")):
            issued = self._authority.issue_cert(host)
            issued.private_key_and_cert_chain_pem.write_to_path(self.pem(name))
        self.directory.chmod(0o755)  # it reads them as nobody
        options = [
            f"ssl_chain_cert={self.pem('server')}",
            f"ssl_key={self.pem('server')}",
            f"ssl_ca_cert={self.ca_file}",
        ]
        return [*super().command(), "-Z", "-o", ",".join([*options, *(["ssl_verify_mode=2"] * self._asks_clients)])]

    @property
    def ca_file(self) -> str:
        """The authority's certificate."""
        return str(self.directory / "ca.pem")

    def pem(self, name: str) -> str:
        """Return the file with the certificate and the key of the "server" or of a "client"."""
        return str(self.directory / f"{name}.pem")

    @property
    def url(self) -> str:
        return "memcacheds://{}:{}?ssl_ca_certs={}".format(*self.address, self.ca_file)

    def connect(self) -> socket.socket:
        context = ssl.create_default_context(cafile=self.ca_file)
        context.load_cert_chain(self.pem("client"))
        return context.wrap_socket(super().connect(), server_hostname=self.address[0])


def _item_size_options(size: int | str) -> list[str]:
    """Return memcached's words for items of *size*: bytes, or text such as "512k" and "2m"."""
    units = {"k": 1024, "m": 1024**2}
    text = str(size)
    bytes_ = int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)
    # Below a megabyte, memcached refuses to start with its usual size of a slab's chunks, half a megabyte.
    chunk = ["-o", f"slab_chunk_max={bytes_ // 2048}"] if bytes_ < units["m"] else []
    return ["-I", str(bytes_), *chunk]


def _any_binary() -> MemcachedBinary:
    binary, reason = find_memcached()
    if binary is None:
        raise ServerFailed(reason)
    return binary
