"""The application that test_django_http runs in two workers: MEMOCACHE_URL is in the environment."""

import os
import secrets
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, JsonResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=[
        f"{__name__}.worker",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="secret",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)

import django  # noqa: E402

from memocache import cached  # noqa: E402

django.setup()


@cached(timeout=300)
def page(request: Any, i: int) -> JsonResponse:
    return JsonResponse({"i": i, "q": request.GET.get("q"), "computed": secrets.token_hex(8)})


@cached(timeout=300)
async def awaited(request: Any, i: int) -> JsonResponse:
    return JsonResponse({"i": i, "computed": secrets.token_hex(8)})


@cached(timeout=300)
def template(request: Any, i: int) -> TemplateResponse:
    source = engines["django"].from_string("{{ i }} {{ computed }}")
    return TemplateResponse(request, source, {"i": i, "computed": secrets.token_hex(8)})


@cached(timeout=300)
def body(request: Any) -> JsonResponse:
    return JsonResponse({"body": request.body.decode(), "computed": secrets.token_hex(8)})


@csrf_exempt
def forget(request: Any, i: int) -> HttpResponse:
    return HttpResponse(str(page.uncache(None, i)))


def worker(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.headers["X-Worker"] = str(os.getpid())
        return response

    return middleware


urlpatterns = [
    path("page/<int:i>", page),
    path("async/<int:i>", awaited),
    path("template/<int:i>", template),
    path("body", body),
    path("forget/<int:i>", forget),
]

wsgi = WSGIHandler()
asgi = ASGIHandler()
