"""The sites that every test of all frameworks is run on; those whose views block, and those whose views are awaited."""

from functools import partial

from tests.web.asgi_sites import FastAPISite, StarletteSite
from tests.web.django_site import DjangoSite
from tests.web.flask_site import FlaskSite
from tests.web.sites import Site

Make = partial[Site]
FRAMEWORKS: dict[str, type[Site]] = {
    "flask": FlaskSite,
    "django": DjangoSite,
    "starlette": StarletteSite,
    "fastapi": FastAPISite,
}
SITES: dict[str, Make] = {
    name if not is_async else f"{name} async": partial(kind, is_async=is_async)
    for name, kind in FRAMEWORKS.items()
    for is_async in (False, True)
}
