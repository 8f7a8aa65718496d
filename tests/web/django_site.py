"""Django, configured once for all tests; and an application of it with one cached view, whose answers tests decide.

Each site has a URL configuration of its own, that its requests name. They are answered by the real handler, with the
middleware that settings name.
"""

import itertools
import types
from collections.abc import Callable
from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    "DATABASES": {},
    "LANGUAGES": [("en", "English"), ("de", "German")],
    "MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage",
    "MIDDLEWARE": [],
    "ROOT_URLCONF": "tests.web.django_urls",
    "SECRET_KEY": "secret",
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "STATIC_URL": "/static/",
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"context_processors": ["django.template.context_processors.csrf"]},
        }
    ],
}
if not settings.configured:
    settings.configure(**DEFAULTS)

import django  # noqa: E402
from django.http import HttpResponse, StreamingHttpResponse  # noqa: E402
from django.test import AsyncClient, Client  # noqa: E402
from django.test.utils import override_settings  # noqa: E402
from django.urls import path  # noqa: E402

from memocache import Cache, cached  # noqa: E402
from tests.web.matrix import Ask, Reply  # noqa: E402
from tests.web.sites import Decorator  # noqa: E402

django.setup()

__all__ = ["DjangoSite", "ours", "urls"]


def urls(**views: Callable[..., Any] | str) -> types.ModuleType:
    """Return a URL configuration: views by name, under /name/ and what the value's `route` says."""
    module = types.ModuleType("tests.web.django_urls")
    module.urlpatterns = [path(f"{name}", view, name=name) for name, view in views.items()]  # type: ignore[attr-defined]
    return module


def ours(cache: Cache, terms: dict[str, Any] | None = None) -> Decorator:
    """Return what decorates the view with @cached, with the *terms* of a case."""
    given = terms or {}
    key = (lambda request: "same") if given.get("keyed") else None
    return cached(timeout=300, cache=cache, namespace="view", vary=given.get("vary", ()), key=key)
