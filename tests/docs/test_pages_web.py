"""The examples of the pages of docs/ that need a web framework."""

from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from tests.docs.conftest import PageRunner
from tests.docs.pages import DOCS, name_of, pages
from tests.support import django_settings


@pytest.fixture(autouse=True)
def django_is_set_up() -> None:
    import django

    django_settings.configure()
    django.setup()


@pytest.mark.parametrize("page", pages("--web"), ids=name_of)
def test_the_examples_of_the_page_run(page: Path, run: PageRunner) -> None:
    run(page)


def test_the_views_of_django_are_served_and_forgotten(run: PageRunner) -> None:
    from django.test import RequestFactory

    page = run(DOCS / "recipes" / "django.md")
    get = RequestFactory().get
    with freeze_time():  # on a busy machine, there may be a second between two requests
        assert [ages(page["summary"], get("/summary/2026")) for _ in range(2)] == [None, "0"]
        page["summary"].uncache(None, 2026)
        assert ages(page["summary"], get("/summary/2026")) is None
    assert page["Summary"].as_view()(get("/summary/2026"), 2026).content == b"summary of 2026"
    assert page["menu"](get("/"), "en") == page["menu"](get("/other"), "en") == ["home", "shop"]
    assert page["menu"].info().hits == 1


def ages(view: Any, request: Any) -> Any:
    return view(request, 2026).headers.get("Age")


def test_forgetting_waits_for_the_commit(run: PageRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import transaction

    committed: list[Any] = []
    monkeypatch.setattr(transaction, "on_commit", committed.append)
    page = run(DOCS / "recipes" / "django.md")
    totals, place = page["order_totals"], page["place_order"]
    assert len(totals(7)) == 1
    place(7, 20)
    assert len(totals(7)) == 1
    committed.pop()()
    assert len(totals(7)) == 2
    page["order_saved"](None, type("Order", (), {"customer_id": 7}))
    committed.pop()()
    assert totals.info().currsize == 0
