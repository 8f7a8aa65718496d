"""The shell `memocache`, on the functions of a small application and the caches that processes share."""

import importlib
import json
import re
import secrets
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from memocache import SQLiteCache, _function, cache_from_url, cached, configure, stats
from memocache._shell import ShellError, parse_call
from memocache.cli import main
from memocache.stats import share
from tests.support.redis_servers import RedisServer
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer

APPLICATION = """
import os
from memocache import cached, cache_from_url

cache = cache_from_url(os.environ["SHOP_CACHE"])
computed = []

@cached(timeout=300, cache=cache, tags=("tenant:{tenant}",), view=False)
def report(tenant, month="May"):
    computed.append((tenant, month))
    return tenant

@cached(timeout=None, cache=cache)
async def rates(day):
    return day

@cached(timeout=300)
def local(x):
    return x

class Shop:
    @cached(timeout=300, cache=cache, key="{name}")
    def total(self, name):
        return name

def create():
    computed.append("created")

def broken():
    raise LookupError("no settings\\x1b[31m")
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only_own_functions: None) -> Iterator[str]:
    """The name of the application's module, which is not imported yet."""
    name = f"shop_{secrets.token_hex(4)}"
    (tmp_path / f"{name}.py").write_text(APPLICATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(_function, "_functions", weakref.WeakValueDictionary())  # without those of other tests
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def shop(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("SHOP_CACHE", url)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    return importlib.import_module(name)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], name: str) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["-a", name, *arguments])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


Run = Callable[..., tuple[int, str, str]]


def test_a_call_is_looked_at_refreshed_and_forgotten(shop: ModuleType, run: Run) -> None:
    call = "report(7, month='June')"
    assert run("entry", call) == (1, "", f"memocache entry: nothing is stored for {call}\n")
    shop.report(7, "June")
    status, out, _ = run("entry", "report(tenant=7, month='June')")
    assert status == 0
    assert f"key         {shop.report.key(7, 'June')}\n" in out
    assert re.search(
        r"^age         [\d.]+ m?s\nexpires in  5 min\ncomputed    in [\d.]+ m?s\nsize        \d+ B\n", out, re.M
    )
    assert "tags        tenant:7\n" in out
    assert run("uncache", call) == (0, f"forgotten: {call}\n", "")
    assert run("uncache", call)[1] == f"nothing was stored for {call}; it is forgotten all the same\n"
    status, out, _ = run("refresh", call)
    assert out.startswith("computed and stored in ")
    assert shop.report(7, "June") == 7
    assert shop.computed == [(7, "June")] * 2


def test_a_coroutine_function_is_awaited(shop: ModuleType, run: Run) -> None:
    assert run("refresh", "rates('Monday')")[0] == 0
    assert "expires in  never\n" in run("entry", "rates('Monday')")[1]
    assert run("uncache", "rates('Monday')") == (0, "forgotten: rates('Monday')\n", "")


@pytest.mark.parametrize("order", ["@classmethod\n    @cached", "@cached\n    @classmethod"], ids=["above", "below"])
@pytest.mark.parametrize("define", ["def", "async def"])
def test_a_class_method_is_called_without_its_class(
    add: Callable[[str], None], run: Run, order: str, define: str
) -> None:
    decorators = order.replace("@cached", "@cached(timeout=300, cache=cache)")
    add(f"class Rates:\n    {decorators}\n    {define} of(cls, day):\n        return cls.__name__, day")
    assert "Rates.of(day)" in run("ls")[1]
    assert run("refresh", "Rates.of(7)")[0] == 0
    assert run("entry", "of(day=7)")[0] == 0
    assert "Rates.of" in run("ls", "of")[1]
    assert run("uncache", "of(7)")[1] == "forgotten: of(7)\n"
    assert run("entry", "of(7)")[0] == 1


def test_something_else_may_have_the_name_of_a_function(add: Callable[[str], None], run: Run) -> None:
    add(
        """
class Unbound:  # as a proxy of a web framework is outside of a request
    def __getattr__(self, name):
        raise RuntimeError

kept = Shop, local
Shop = local = Unbound()

class Rates:
    @cached(timeout=300)
    def of(cls, day):
        return day

hidden, Rates.of = Rates.of, classmethod(lambda cls, day: day)
"""
    )
    status, out, _ = run("ls")
    assert status == 0
    assert all(name in out for name in ("report(", "local(x)", "Shop.total", "Rates.of(cls, day)"))


def test_a_function_and_a_tag_are_forgotten(shop: ModuleType, run: Run, url: str) -> None:
    for forget in (("--all", "report"), ("--tag", "tenant:7"), ("--tag", "tenant:7", "--cache", url)):
        shop.report(7)
        assert run("uncache", *forget)[0] == 0
        assert run("entry", "report(7)")[0] == 1


@pytest.mark.usefixtures("shop")
def test_a_tag_that_no_function_gives_is_not_said_to_be_forgotten(run: Run, url: str) -> None:
    status, _, err = run("uncache", "--tag", "tennant:7")
    assert (status, err) == (
        2,
        "memocache uncache: no cached function gives the tag 'tennant:7', so nothing was forgotten; "
        "there are: 'tenant:{tenant}'\n",
    )
    configure(url)  # a default cache that others share, too
    status, out, _ = run("uncache", "--tag", "tennant:7")
    assert status == 0
    assert out.startswith("no cached function here gives the tag tennant:7; others on ")
    assert out.endswith("forgotten: every call with the tag tennant:7\n")


def test_everything_is_deleted_if_it_is_confirmed(
    shop: ModuleType, run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.report(7)
    for answer, status in (("", 1), ("n", 1), ("y", 0)):
        monkeypatch.setattr("builtins.input", lambda answer=answer: answer)
        assert run("clear", url)[0] == status
        assert run("entry", "report(7)")[0] == (0 if status else 1)
    shop.report(7)
    assert run("clear", "--yes", url)[0] == 0
    assert run("entry", "report(7)")[0] == 1


@pytest.mark.usefixtures("shop")
def test_it_is_asked_whether_what_others_have_put_there_may_be_deleted(
    redis_server: RedisServer, memcached: MemcachedServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda: "n")
    urls = [f"{redis_server.url}?prefix=shop:", redis_server.url, f"memcached://{memcached.address}?prefix=shop:"]
    asked = [run("clear", url)[1] for url in (*urls, f"tiered+{urls[0]}")]
    assert ["there, also under another key_prefix? [y/N]" in each for each in asked] == [False, True, True, False]
    assert ["put it there? [y/N]" in each for each in asked] == [True, False, False, True]


def test_the_cache_of_the_application_is_deleted_if_it_has_one(shop: ModuleType, run: Run) -> None:
    """Whatever the default cache is, which no function may use: it is in this process, where a command has none."""
    shop.report(7)
    assert run("clear", "--yes") == (0, f"deleted: everything in {shop.cache!r}\n", "")
    assert run("entry", "report(7)")[0] == 1


def test_which_of_two_caches_is_deleted_has_to_be_said(
    shop: ModuleType, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SQLiteCache(tmp_path / "other.db")
    monkeypatch.setattr(shop, "other", cached(cache=other, namespace="shop.other")(lambda x: x), raising=False)
    status, out, err = run("clear", "--yes")
    assert (status, out) == (2, "")
    assert err.startswith("memocache clear: the application uses ")
    assert all(repr(each) in err for each in (shop.cache, other))
    assert err.endswith("; name one by its URL\n")


def test_the_application_is_named_before_the_command_or_after_it(
    shop: ModuleType, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["-a", name, "ls"], ["ls", "-a", name], ["-a", "os", "ls", "-a", name]):
        assert main(words) == 0
        assert f"{name}.report(tenant, month='May')  " in capsys.readouterr().out


def test_the_functions_are_listed_without_their_types(add: Callable[[str], None], run: Run, name: str) -> None:
    add("\n@cached\ndef typed(x: dict[str, int], *more: int, y: float = 1.5) -> list[int]:\n    return []\n")
    assert f"{name}.typed(x, *more, y=1.5)  SimpleCache(" in run("ls")[1]


def test_the_doctor_looks_at_every_cache(shop: ModuleType, run: Run, url: str) -> None:
    status, out, err = run("doctor")
    assert status == 1
    assert err in ("memocache doctor: 1 thing to look at\n", "memocache doctor: 2 things to look at\n")
    assert "latency " in out
    assert "! SimpleCache(threshold=10000, default_timeout=300) lives in one process: " in out
    assert ("has no maxmemory" in out) is (err == "memocache doctor: 2 things to look at\n")
    assert run("doctor", url)[0] == out.count("has no maxmemory")


def test_the_doctor_says_what_is_wrong(memcached_tcp: MemcachedServer, capsys: pytest.CaptureFixture[str]) -> None:
    host, port = memcached_tcp.address
    assert main(["doctor", f"memcached://{host}:{port}"]) == 1
    assert "has no key_prefix: another application on the same server" in capsys.readouterr().out
    assert main(["doctor", "memcached://127.0.0.1:1"]) == 1
    assert "cannot be reached: " in capsys.readouterr().out


def test_the_functions_are_listed(shop: ModuleType, run: Run, name: str) -> None:
    lines = run("ls")[1].splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        f"{name}.Shop.total(self, name)",
        f"{name}.local(x)",
        f"{name}.rates(day)",
        f"{name}.report(tenant, month='May')",
    ]


def test_what_is_stored_of_a_function_is_listed(shop: ModuleType, run: Run, name: str) -> None:
    assert run("ls", "report") == (1, "", "memocache ls: nothing is stored for report\n")
    for number in range(5):
        shop.report(number)
    status, out, err = run("ls", "report")
    head, *lines = out.splitlines()
    assert (status, err, len(lines)) == (0, "", 5)
    assert head.split() == ["age", "expires", "in", "size", "key"]
    assert all(f" {name}.report  #" in line or f"  v1:{name}.report:" in line for line in lines)
    assert re.search(r"^ +[\d.]+ m?s +5 min +\d+ B  ", lines[0])


def test_what_is_stored_in_a_cache_is_listed_without_an_application(
    shop: ModuleType, url: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.report(1)
    shop.report(2)
    shop.cache.set("of a user", 1)
    for function, count in ((f"{name}.report", 2), (None, 3)):
        assert main(["ls", "--cache", url, "--json", *filter(None, [function])]) == 0
        entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(entries) == count
        assert all(entry["size"] > 0 for entry in entries)
    assert main(["ls", "--cache", url, f"{name}.no_such"]) == 1
    assert capsys.readouterr().err == f"memocache ls: nothing is stored for {name}.no_such\n"


# A server each time: memcached leaves out of its dump what was read twice a moment ago.
@pytest.mark.parametrize(("limit", "shown"), [(["--limit", "3"], 3), ([], 100), (["--limit", "0"], 130)])
def test_no_more_is_listed_than_is_wanted(shop: ModuleType, run: Run, url: str, limit: list[str], shown: int) -> None:
    shop.report.many([(number,) for number in range(130)])
    _, *entries = run("ls", "report", *limit)[1].splitlines()
    assert entries[shown:] == ([f"and about {130 - shown} more; --limit 0 lists all"] if shown < 130 else [])
    *objects, last = map(json.loads, run("ls", "--cache", url, "report", "--json", *limit)[1].splitlines())
    assert last == {"others": 130 - shown} if shown < 130 else last["size"] > 0
    assert len(objects) == shown - (shown == 130)


def test_the_figures_that_processes_share_are_no_entries(shop: ModuleType, run: Run, url: str) -> None:
    with share(url):
        shop.report(1)
        shop.report(1)
    lines = run("ls", "--cache", url)[1].splitlines()
    assert len(lines) == 2
    assert "report" in lines[1]


HOSTILE = "\x1b]0;owned\x07<script>\u202e\ud800\r\n"


def test_hostile_keys_are_printed_harmlessly(shop: ModuleType, run: Run, url: str) -> None:
    shop.cache.set(HOSTILE, 1)
    for format in ([], ["--json"]):
        out = run("ls", "--cache", url, *format)[1]
        assert out.replace("\n", "").isprintable()
    for command in (["ls", HOSTILE], ["uncache", "--tag", HOSTILE], ["uncache", HOSTILE], ["ls", "--cache", HOSTILE]):
        _, out, err = run(*command)
        assert (out + err).replace("\n", "").isprintable()


# ---- what all processes have counted -------------------------------------------------------------------------------


@pytest.fixture
def sharing(shop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[stats.Sharing]:
    """What shares the figures of the application, as it would do itself."""
    monkeypatch.setattr(stats, "_totals", None)
    with stats.share(shop.cache, every=3600) as sharing:
        yield sharing


def test_the_figures_of_all_processes_are_shown(
    shop: ModuleType, run: Run, url: str, name: str, sharing: stats.Sharing
) -> None:
    for tenant in (7, 7, 7, 8):
        shop.report(tenant)
    shop.local(1)
    sharing.flush()
    for command in (("stats",), ("stats", url)):  # where the application shares them, or there
        status, out, err = run(*command)
        head, first, second = out.splitlines()
        assert (status, err) == (0, "")
        assert head.split() == ["function", "calls", "hit", "ratio", "saved", "computed/min", "slowest", "errors"]
        assert first.split()[:3] == [f"{name}.report", "4", "50.0%"]
        assert first.split()[5] == "2.0"
        assert second.split()[:3] == [f"{name}.local", "1", "0.0%"]
        assert len(head) == len(first) == len(second)
    status, out, _ = run("stats", "--json", url)
    local, report = map(json.loads, out.splitlines())
    assert (report["function"], report["calls"], report["hits"], report["hit_ratio"]) == (f"{name}.report", 4, 2, 0.5)
    assert report["slowest"] > 0
    assert [len(minutes) for minutes in report["minutes"].values()] == [60] * 7
    assert sum(report["minutes"]["misses"]) == 2
    assert local["stored"] == 1


def test_where_nothing_is_shared_it_says_how_to_switch_that_on(shop: ModuleType, run: Run, url: str) -> None:
    status, out, err = run("stats", url)
    assert (status, out) == (1, "")
    assert err == (
        f"memocache stats: no process shares its figures on {cache_from_url(url)!r}; to switch that on, call "
        "memocache.stats.share() with that cache, once in each process of the application\n"
    )


def test_figures_in_the_memory_of_each_process_are_refused(run: Run, shop: ModuleType) -> None:
    assert run("stats") == (
        2,
        "",
        "memocache stats: SimpleCache(threshold=10000, default_timeout=300) lives in the memory of each process of the "
        "application, where no command can reach its figures; name a cache on which they are shared: memocache stats "
        "URL. To switch that on, call memocache.stats.share('redis://...') once in each process\n",
    )


def test_what_steers_a_terminal_in_the_name_of_a_function_is_harmless(
    run: Run, url: str, sharing: stats.Sharing
) -> None:
    hostile = cached(timeout=60, namespace="<b>\x1b[2J\n\u202e")(lambda x: x)
    hostile(1)
    sharing.flush()
    for command in (("stats",), ("stats", "--json")):
        _, out, _ = run(*command)
        assert "\x1b" not in out
        assert len(out.splitlines()) == (1 if "--json" in command else 2)


def test_a_cache_that_is_down_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", "memcached://127.0.0.1:1"]) == 1
    assert capsys.readouterr().err.startswith("memocache stats: memcached at 127.0.0.1:1 failed: ")


# ---- the file of a cache ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["ls --cache", "stats", "doctor", "inspect", "clear --yes", "uncache --tag tenant:7 --cache"],
    ids=lambda command: command.partition(" ")[0],
)
@pytest.mark.parametrize("scheme", ["sqlite", "tiered+sqlite"])
def test_a_file_that_is_not_there_is_not_made(
    command: str, scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), f"{scheme}://{tmp_path}/mistyped/cache.db"]) == 1
    assert capsys.readouterr().err == (
        f"memocache {command.partition(' ')[0]}: the cache's URL sqlite://...: there is no file "
        f"{tmp_path}/mistyped/cache.db to look at: No such file or directory; give its whole path\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_larger_than_the_default_limit_keeps_what_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cache.db"
    cache = SQLiteCache(path, size_limit=4 * 1024**3)
    cache.set("answer", 42)
    cache.close()
    with path.open("r+b") as file:  # as if it had had 2 GiB of other entries, which SQLite reads in its head
        file.seek(28)
        file.write((2 * 1024**3 // 4096).to_bytes(4, "big"))
        file.truncate(2 * 1024**3)
    assert main(["ls", "--cache", f"sqlite:///{path}"]) == 0
    assert capsys.readouterr().out.count("\n") == 2
    assert SQLiteCache(path, size_limit=4 * 1024**3).get("answer") == 42


# ---- what it refuses -------------------------------------------------------------------------------------------------


@pytest.fixture
def at_sqlite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOP_CACHE", f"sqlite:///{tmp_path}/cache.db")


@pytest.fixture
def add(at_sqlite: None, name: str, tmp_path: Path) -> Callable[[str], None]:
    """Adds to the source of the application, which is not imported yet."""

    def add(source: str) -> None:
        with (tmp_path / f"{name}.py").open("a") as file:
            file.write(source)

    return add


def test_a_cache_of_another_process_is_refused_by_name(at_sqlite: None, run: Run) -> None:
    for command in (("uncache", "local(1)"), ("entry", "local(1)"), ("uncache", "--all", "local"), ("ls", "local")):
        status, out, err = run(*command)
        assert (status, out) == (2, "")
        assert err.startswith(
            f"memocache {command[0]}: SimpleCache(threshold=10000, default_timeout=300) lives in the memory of each "
        )
        assert err.endswith("use a cache that processes share, or restart them\n")


@pytest.mark.parametrize("command", [["inspect"], ["clear", "--yes", "memory://"]])
def test_without_an_application_a_cache_in_process_is_no_use(
    command: list[str], only_own_functions: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_function, "_functions", weakref.WeakValueDictionary())
    assert main(command) == 2
    told = "name another one by its URL, or an application that has one: memocache -a shop.app ...\n"
    assert capsys.readouterr().err.endswith(told)


def test_a_function_that_is_not_there(at_sqlite: None, run: Run, name: str) -> None:
    known = ", ".join(f"{name}.{each}" for each in ("Shop.total", "local", "rates", "report"))
    assert run("uncache", "reports(1)") == (
        2,
        "",
        f"memocache uncache: there is no cached function 'reports'; there are: {known}\n",
    )


def test_arguments_that_the_function_does_not_take(at_sqlite: None, run: Run) -> None:
    assert run("uncache", "report()") == (2, "", "memocache uncache: report(): missing a required argument: 'tenant'\n")


def test_what_was_not_stored_is_not_said_to_be(add: Callable[[str], None], run: Run) -> None:
    add("\n@cached(timeout=300, cache=cache)\ndef thing(x):\n    report(x)\n    return object()\n")
    add("\n@cached(timeout=300, cache=cache)\ndef ends(x):\n    raise SystemExit(0)\n")
    status, out, err = run("refresh", "thing(1)")
    assert (status, out) == (1, "")
    assert re.fullmatch(
        r"memocache refresh: thing\(1\) was computed in \S+ m?s, but not stored: value is of type object, .*\n", err
    )
    assert run("refresh", "ends(1)") == (1, "", "memocache refresh: ends(1) raised SystemExit: 0\n")


def test_what_a_server_that_is_down_did_not_store(
    own_memcached: MemcachedServer, name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_CACHE", f"memcached://{own_memcached.address}")
    assert run("refresh", "report(7)")[0] == 0
    own_memcached.stop()
    for command in ("refresh", "entry", "uncache"):
        status, out, err = run(command, "report(7)")
        assert (status, out) == (1, "")
        assert f"memcached at {own_memcached.address}" in err


def test_what_an_application_prints_is_no_answer(add: Callable[[str], None], name: str, run: Run) -> None:
    add("\nprint('welcome to the shop')\nreport(7)\n")
    status, out, err = run("ls", "--json", "report")
    assert (status, err) == (0, "welcome to the shop\n")
    assert json.loads(out)["function"] == f"{name}.report"


WRONG_PLACES = (
    *(["ls", "{}"], ["entry", "{}"], ["uncache", "{}"], ["uncache", "--all", "{}"], ["refresh", "{}"]),
    *(["-a", "{}", "ls"], ["{}"], ["{}", "ls"], ["stats", "{}", "{}"], ["ls", "--limit", "{}"]),
)


@pytest.mark.parametrize("words", WRONG_PLACES, ids=" ".join)
def test_no_password_is_shown_wherever_it_was_typed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for url in (
        "redis://shop:pass-word@cache:6379/0?prefix=shop:",
        "memory:///?secret=pass-word",
        "redis://:pass word@x",
    ):
        try:
            status: object = main([word.format(url) for word in words])
        except SystemExit as ended:  # of the parser
            status = ended.code
        shown = capsys.readouterr()
        assert (status, shown.out) == (2, "")
        assert "word" not in shown.err
        assert "://..." in shown.err or "a URL stands where a function or a module is wanted" in shown.err


@pytest.mark.parametrize("factory", ["broken", "missing"])
def test_an_application_that_cannot_be_imported(at_sqlite: None, factory: str, name: str, capsys: object) -> None:
    assert main(["-a", f"{name}:{factory}", "ls"]) == 2
    err = capsys.readouterr().err  # type: ignore[attr-defined]
    assert err.startswith(f"memocache ls: '{name}:{factory}' cannot be imported: ")
    assert "\x1b" not in err


@pytest.mark.parametrize("text", ["sys.exit(3)", "import no_such", "(", "raise BaseException", "1 / 0"])
def test_a_module_that_does_not_import(
    at_sqlite: None, text: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{name}.py").write_text(f"import sys\n{text}\n")
    if text == "raise BaseException":
        with pytest.raises(BaseException, match=r"^$"):  # as of an interrupt
            main(["-a", name, "ls"])
        return
    assert main(["-a", name, "ls"]) == 2
    assert capsys.readouterr().err.startswith(f"memocache ls: '{name}' cannot be imported: ")


@pytest.mark.parametrize("module", ["", ".", ".shop", "shop/app.py", "a..b", "os:path.no_such", "\x1b[31m", "9"])
def test_what_is_no_module(at_sqlite: None, module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--application={module}", "ls"]) == 2
    err = capsys.readouterr().err
    assert "cannot be imported: " in err
    assert err.count("\n") == 1
    assert err[:-1].isprintable()


def test_what_the_code_of_the_application_raises(add: Callable[[str], None], name: str, run: Run) -> None:
    add("\n@cached(timeout=300, cache=cache)\ndef fails(x):\n    raise LookupError('no \\x1b')\n")
    add("\n@cached(timeout=300, cache=lambda: {}['tenant'])\ndef of_a_request(x):\n    return x\n")
    assert run("refresh", "fails(1)") == (1, "", "memocache refresh: fails(1) raised LookupError: no \\x1b\n")
    where = f"the cache of {name}.of_a_request cannot be had: KeyError: 'tenant'"
    for command in (("uncache", "of_a_request(1)"), ("ls", "of_a_request"), ("uncache", "--all", "of_a_request")):
        assert run(*command) == (1, "", f"memocache {command[0]}: {where}\n")
    assert f"{where}\n" in run("ls")[1]
    assert f"! {where}. Configure it where the application is imported\n" in run("doctor")[1]


def test_a_factory_is_called(at_sqlite: None, name: str) -> None:
    assert main(["-a", f"{name}:create", "ls"]) == 0
    assert sys.modules[name].computed == ["created"]


def test_no_application(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 2
    assert capsys.readouterr().err == (
        "memocache ls: no cached function was found; name the module that has them: memocache -a shop.app ...\n"
    )


@pytest.mark.parametrize("words", [["-a", "FILE", "ls"], ["ls", "FILE"], ["entry", "FILE"]])
def test_a_file_in_place_of_a_module_or_a_cache(
    name: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = f"{name}.py"
    assert main([file if word == "FILE" else word for word in words]) == 2
    assert name not in sys.modules  # Python would look in it for a module called py
    assert capsys.readouterr().err.endswith(
        f": the file '{file}' stands where a function or a module is wanted; write a module as in an import, "
        f"shop.app, and a cache by its URL, sqlite://{tmp_path / file}\n"
    )


def test_uncache_needs_something_to_forget(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["uncache"])
    assert "uncache needs a call such as 'report(7)', or --all FUNCTION, or --tag TAG" in capsys.readouterr().err


def test_a_call_in_two_words_is_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["entry", "report", "7"])
    told = "unrecognized arguments: 7; a call is one argument, in quotes: 'report(7, month=\"May\")'\n"
    assert capsys.readouterr().err.endswith(told)


def test_a_function_is_no_call() -> None:
    text = refusal(parse_call, "shop.report", kind=ShellError)
    assert text == (
        "'shop.report' is a function, and no call of it; write the arguments, too, such as "
        "'shop.report(7, month=\"May\")'; to forget every call: uncache --all shop.report"
    )


def test_a_call_has_literals() -> None:
    assert parse_call("shop.report(7, month='May')") == ("shop.report", [7], {"month": "May"})


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("report(7, -1, (2.5, None), {1, 2})", [7, -1, (2.5, None), {1, 2}]),
        ("report(True, None, -1, -2.5, 1e999, 0x10, 1_000)", [True, None, -1, -2.5, float("inf"), 16, 1000]),
        ("report(b'\\xff', 'a' 'b', 'c', 1+2j)", [b"\xff", "ab", "c", 1 + 2j]),
        ("report({1, 2}, {}, (), [1, (2,)], {'a': {1: 2}})", [{1, 2}, {}, (), [1, (2,)], {"a": {1: 2}}]),
        ("report('\\d', 'x y')  # as it is", [r"\d", "x y"]),
        ("  report(\n7,\n)\n", [7]),
        ("report(" + "[" * 90 + "]" * 90 + ")", [eval("[" * 90 + "]" * 90)]),
    ],
)
def test_literals_of_all_kinds(text: str, arguments: list[object]) -> None:
    assert parse_call(text) == ("report", arguments, {})


@pytest.mark.parametrize(
    "text",
    [
        *("report(", "report(x)", "report(*[1])", "report(**{'a': 1})", "report(open('/etc/passwd'))", ""),
        *("(lambda: 1)()", "report(1)(2)", "report[0](1)", "report(1); report(2)", "report(f'{1}')", "\0", "(" * 500),
        *("report(" + "-" * 5000 + "1)", "report" + ".a" * 5000 + "()", "report(" + "[" * 400 + "]" * 400 + ")"),
        *("report(a=1, a=2)", "report(1, *(2,))", "report((x := 1))", "report(x=y)", "report(a.b)", "report(not 1)"),
        *("await report(1)", "lambda: report(1)", "report(lambda: 1)", "report([x for x in ()])", "report({[]: 1})"),
        *("report('{x}'.format(x=1))", "report(2 ** 9999)", "report(1 + 1)", f"report({'9' * 5000})", "f(1)\ng()"),
        *("report(__import__('os').system('true'))", "report(\ud800)", "1", "report(...)(1)", "report(1 if 1)"),
    ],
)
def test_whatever_else_is_refused(text: str) -> None:
    assert refusal(parse_call, text, kind=ShellError) == (
        f"{text!r} is not a call with literals; write the function and its arguments as in Python, "
        "such as 'report(7, month=\"May\")'"
    )
