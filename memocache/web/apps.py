"""MemocacheConfig: `"memocache.web"` in INSTALLED_APPS, for which Django looks here."""

from django.apps import AppConfig

__all__ = ["MemocacheConfig"]


class MemocacheConfig(AppConfig):  # type: ignore[misc]
    """The application `memocache.web`, which has nothing but the command `manage.py memocache`."""

    name = "memocache.web"
    label = "memocache"
