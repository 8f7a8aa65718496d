"""The settings of Django for all tests: a process can have them once only."""

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    "INSTALLED_APPS": ["django.contrib.contenttypes", "django.contrib.auth"],
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


def configure() -> None:
    """See that Django has settings."""
    if not settings.configured:
        settings.configure(**DEFAULTS)
