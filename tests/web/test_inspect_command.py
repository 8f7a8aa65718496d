"""The command `memocache inspect`: the page on loopback, for whoever has the address that it prints."""

import importlib
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import httpx
import pytest

from memocache import cache_from_url
from memocache.cli import main
from memocache.stats import share
from tests.support.selection import ROOT
from tests.web.inspector_site import Visitor

APPLICATION = """
import os
from memocache import cached, cache_from_url

cache = cache_from_url(os.environ["SHOP_CACHE"])

@cached(timeout=300, cache=cache, tags=("tenant:{tenant}",))
def report(tenant, month="May"):
    return f"value {tenant}"

@cached(timeout=300)
def local(x):
    return x
"""


@pytest.fixture
def shop(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    name = f"shop_{secrets.token_hex(4)}"
    (tmp_path / f"{name}.py").write_text(APPLICATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SHOP_CACHE", url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield importlib.import_module(name)
    sys.modules.pop(name)


@contextmanager
def inspect(*arguments: str) -> Iterator[str]:
    """Run the command and yield the address that it prints; it ends by Ctrl-C."""
    command = [sys.executable, "-m", "memocache", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            found = re.fullmatch(r"Open (http://\S+) in a browser: it opens the page once\. Ctrl-C ends it\.\n", said)
            assert found is not None, said
            yield found[1]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()


def test_the_address_opens_the_page_of_an_application_once(shop: ModuleType) -> None:
    shop.report(7)
    with inspect("-a", shop.__name__, "inspect") as address, Visitor(address.partition("?")[0]) as visitor:
        assert visitor.get(visitor.url).status_code == 403
        assert visitor.get(address).status_code == 303
        page = visitor.page()
        assert f"function={shop.__name__}.report" in page.text
        assert "local" not in page.text  # which is in the memory of other processes
        assert "No figures are shared" in page.text
        entries = visitor.page(f"?function={shop.__name__}.report").text
        assert "value 7" not in entries
        assert entries.count("<tbody><tr>") == 1
        origin = {"Origin": "{0.scheme}://{0.netloc}".format(urlsplit(address))}
        form = {"token": visitor.token, "act": "tag", "tag": "tenant:7"}
        assert visitor.post(visitor.url, data=form, headers=origin).status_code == 303
        assert shop.report.entry(7) is None
        with httpx.Client() as other:
            assert other.get(address).status_code == 403


def test_a_cache_by_its_url(shop: ModuleType, url: str, request: pytest.FixtureRequest) -> None:
    shop.report(7), shop.report(7)
    name = f"{shop.__name__}.report"
    if not url.startswith("sqlite"):  # which does not tell of whom an entry is
        with inspect("inspect", url) as address, Visitor(address.partition("?")[0]) as visitor:
            visitor.get(address)
            assert f"function={name}" in visitor.page().text
    share(shop.cache)()
    with inspect("inspect", url) as address, Visitor(address.partition("?")[0]) as visitor:
        visitor.get(address)
        page = visitor.page().text
        assert "Figures of all processes" in page
        assert "50.0 %" in page
        if not url.startswith("memcached"):  # which leaves out of its list for a second what is being read
            assert visitor.page(f"?function={name}").text.count("<tbody><tr>") == 1
        origin = {"Origin": "{0.scheme}://{0.netloc}".format(urlsplit(address))}
        form = {"token": visitor.token, "act": "function", "function": name}
        assert visitor.post(visitor.url, data=form, headers=origin).status_code == 303
        assert shop.report.entry(7) is None


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_other_hosts_and_other_paths_find_nothing(shop: ModuleType, url: str) -> None:
    with inspect("inspect", url, "--port", "0") as address:
        place = urlsplit(address)
        assert place.hostname == "127.0.0.1"
        for host in ("rebound.example", f"rebound.example:{place.port}", "127.0.0.1", f"127.0.0.1:{place.port}.", ""):
            assert httpx.get(address, headers={"Host": host}).status_code in (400, 404)
        for path in ("/", "/style.css", f"{place.path}x", place.path.rstrip("/")):
            assert httpx.get(f"http://{place.netloc}{path}?{place.query}").status_code == 404
        assert httpx.get(address, headers={"Host": f"localhost:{place.port}"}).status_code == 303


def test_what_cannot_work_is_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["inspect", "memory://"]) == 2
    assert "lives in the memory of each process of the application" in capsys.readouterr().err
    url = f"sqlite:///{tmp_path}/x.db"
    cache_from_url(url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["inspect", url, "--port", port]) == 2
    assert f"memocache inspect: nothing can listen at port {port}: " in capsys.readouterr().err
    assert main(["inspect", url, "--port", "100000"]) == 2
    assert "memocache inspect: nothing can listen at port 100000: " in capsys.readouterr().err
