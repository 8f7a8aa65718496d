"""Whose file it is: nobody else can read an SQLite cache, or put one of theirs in its place."""

import os
import stat
from pathlib import Path

import pytest

from memocache import BackendUnavailable, ConfigurationError, SQLiteCache, cache_from_url
from tests.support.refusals import refusal

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="who may write where is another matter on Windows")

needs_root = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() != 0, reason="only root can make files of other users"
)
STRANGER = 12345
IF_TRUSTED = (
    "if all who can write there may be trusted, as on a volume of a container, give allow_shared_directory=True"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_all_that_is_made_is_ours_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        cache = SQLiteCache(tmp_path / "a" / "b" / "c.db")
        cache.set("k", 1)
    finally:
        os.umask(before)
    made = sorted(each.name for each in (tmp_path / "a" / "b").iterdir())
    assert made == ["c.db", "c.db-shared", "c.db-shm", "c.db-wal"]
    assert {mode(tmp_path / "a" / "b" / name) for name in made} == {0o600}
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    SQLiteCache(tmp_path / "c.db").close()
    (tmp_path / "c.db").chmod(0o644)
    SQLiteCache(tmp_path / "c.db").close()
    assert mode(tmp_path / "c.db") == 0o600


# ---- directories -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_to", [0o757, 0o777, 0o1777])
def test_a_directory_that_others_may_write_in_is_refused(tmp_path: Path, open_to: int) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(open_to)
    with pytest.raises(ConfigurationError) as refused:
        SQLiteCache(tmp_path / "d" / "c.db")
    inside = (
        f"put the cache into a directory of its own inside, which will be made: {tmp_path}/d/cache/memocache.db; or "
    )
    assert str(refused.value) == (
        f"others may write in {tmp_path}/d (mode {open_to:04o}), and so could put a database of theirs there; "
        f"run chmod go-w; or {inside if open_to & stat.S_ISVTX else ''}{IF_TRUSTED}"
    )


def test_a_directory_inside_a_sticky_one_will_do(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    assert SQLiteCache(tmp_path / "tmp" / "own" / "c.db").set("k", 1)


def test_a_directory_that_others_may_rename_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o777)
    with pytest.raises(ConfigurationError, match=r"others may rename what is in .*/tmp \(user \d+, mode 0777\)"):
        SQLiteCache(tmp_path / "tmp" / "own" / "c.db")


@needs_root
def test_a_directory_of_the_users_own_group_will_do(tmp_path: Path) -> None:
    # Many systems give each user a group of its own, and let the group write.
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o775)
    assert SQLiteCache(tmp_path / "d" / "c.db").set("k", 1)
    os.chown(tmp_path / "d", os.geteuid(), STRANGER)
    with pytest.raises(ConfigurationError, match="others may write in"):
        SQLiteCache(tmp_path / "d" / "c.db")


@needs_root
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    os.chown(tmp_path / "d", STRANGER, -1)
    assert refusal(SQLiteCache, tmp_path / "d" / "c.db") == (
        f"{tmp_path}/d belongs to user {STRANGER}, and we are 0; choose a path that is yours; or {IF_TRUSTED}"
    )
    with pytest.raises(ConfigurationError, match=f"others may rename what is in .*user {STRANGER}"):
        SQLiteCache(tmp_path / "d" / "e" / "c.db")


@needs_root
def test_on_a_shared_directory_the_file_is_ours_all_the_same(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, STRANGER, STRANGER)
    volume.chmod(0o2777)
    path = volume / "c.db"
    before = os.umask(0)
    try:
        SQLiteCache(path, allow_shared_directory=True).close()
        SQLiteCache(volume / "sub" / "c.db", allow_shared_directory=True).close()
    finally:
        os.umask(before)
    assert {mode(each) for each in volume.iterdir() if each.is_file()} == {0o600}
    assert mode(volume / "sub") & 0o777 == 0o700
    path.chmod(0o660)  # as Kubernetes does when it mounts the volume again
    SQLiteCache(path, allow_shared_directory=True).close()
    assert mode(path) == 0o600
    path.chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"mode 0666\), and may have done so"):
        SQLiteCache(path, allow_shared_directory=True)
    path.chmod(0o600)
    os.chown(path, STRANGER, -1)
    with pytest.raises(ConfigurationError, match=f"c.db belongs to user {STRANGER}"):
        SQLiteCache(path, allow_shared_directory=True)
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(ConfigurationError, match="is a symbolic link"):
        SQLiteCache(path, allow_shared_directory=True)


def test_a_shared_directory_is_accepted_by_a_url_too(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o777)
    cache = cache_from_url(f"sqlite://{tmp_path}/d/c.db?allow_shared_directory=true")
    assert cache.set("k", 1)
    with pytest.raises(ConfigurationError, match="allow_shared_directory='yes'; wanted: true or false"):
        cache_from_url(f"sqlite://{tmp_path}/d/c.db?allow_shared_directory=yes")
    with pytest.raises(ConfigurationError, match="allow_shared_directory=1; wanted: True or False"):
        SQLiteCache(tmp_path / "d" / "c.db", allow_shared_directory=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["~nosuchuser/c.db", "~nosuchuser", "~"])
def test_a_home_that_is_not_there_is_refused(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)  # as OpenShift runs a container
    assert refusal(SQLiteCache, path) == (
        f"path={path!r}: {path.split('/')[0]} is no user's home here; write the whole path "
        f"(or './{path}', if that is the name)"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///file::memory:", "sqlite:///tmp/:memory:"])
def test_a_url_of_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no path; .* In memory, SimpleCache\(\) is the cache"):
        cache_from_url(url)


def test_a_url_has_no_home() -> None:
    with pytest.raises(ConfigurationError, match="a ~ means nothing in it; write the whole path"):
        cache_from_url("sqlite:///~/cache.db")


def test_a_link_to_a_directory_is_refused_unless_it_is_further_up(tmp_path: Path) -> None:
    (tmp_path / "real" / "d").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(ConfigurationError, match=r"link is a symbolic link; wanted: a directory, itself and not a"):
        SQLiteCache(tmp_path / "link" / "c.db")
    assert SQLiteCache(tmp_path / "link" / "d" / "c.db").set("k", 1)
    assert (tmp_path / "real" / "d" / "c.db").is_file()


def test_a_file_where_a_directory_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("")
    with pytest.raises(ConfigurationError, match=r"/d is a file; wanted: a directory"):
        SQLiteCache(tmp_path / "d" / "c.db")


# ---- files -----------------------------------------------------------------------------------------------------------

NAMES = ["c.db", "c.db-wal", "c.db-shm", "c.db-journal", "c.db-shared"]


@pytest.mark.parametrize("name", NAMES)
def test_a_link_is_refused(tmp_path: Path, name: str) -> None:
    SQLiteCache(tmp_path / "c.db").close()
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "victim").write_text("precious")
    (tmp_path / name).symlink_to("victim")
    assert refusal(SQLiteCache, tmp_path / "c.db") == (
        f"{tmp_path}/{name} is a symbolic link; wanted: a file. Remove it, or choose another path"
    )
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_link_to_nothing_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / "c.db").symlink_to("elsewhere")
    with pytest.raises(ConfigurationError, match="is a symbolic link"):
        SQLiteCache(tmp_path / "c.db")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_others_may_have_written_is_refused(tmp_path: Path, name: str) -> None:
    SQLiteCache(tmp_path / "c.db").close()
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o602)
    assert refusal(SQLiteCache, tmp_path / "c.db") == (
        f"others may write to {tmp_path}/{name} (mode 0602), and may have done so; remove it"
    )


@needs_root
@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_somebody_else_is_refused(tmp_path: Path, name: str) -> None:
    SQLiteCache(tmp_path / "c.db").close()
    (tmp_path / name).touch()
    os.chown(tmp_path / name, STRANGER, -1)
    assert refusal(SQLiteCache, tmp_path / "c.db") == (
        f"{tmp_path}/{name} belongs to user {STRANGER}, and we are 0; give each user a cache of its own"
    )


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.db")
    with pytest.raises(ConfigurationError, match=r"c\.db is no ordinary file; wanted: a file"):
        SQLiteCache(tmp_path / "c.db")


def test_a_link_that_comes_later_is_not_followed(tmp_path: Path) -> None:
    cache = SQLiteCache(tmp_path / "c.db")
    cache.set("k", 1)
    other = SQLiteCache(tmp_path / "other.db")
    other.set("k", "theirs")
    (tmp_path / "c.db").unlink()
    (tmp_path / "c.db").symlink_to("other.db")
    with pytest.raises(BackendUnavailable, match="is a symbolic link"):
        cache.set("k", 2)
    assert other.get("k") == "theirs"
