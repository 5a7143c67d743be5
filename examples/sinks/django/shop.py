"""A whole Django site with accounts, in one file. It stands for the system under test.

    SHOP_DATABASE=postgres://user:password@127.0.0.1:5432/shop python3 shop.py migrate
    SHOP_DATABASE=… python3 shop.py runserver 127.0.0.1:8000

It needs Django and psycopg2 (Debian: python3-django, python3-psycopg2).
"""

import os
import sys
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

LOGIN_PAGE = """<!doctype html><title>Log in</title>
<form method="post">{% csrf_token %}{{ form.as_p }}<button>Log in</button></form>"""

database = urlsplit(os.environ["SHOP_DATABASE"])

settings.configure(
    SECRET_KEY="for tests on this machine only",
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN_PAGE})]
            },
        }
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": database.hostname,
            "PORT": database.port or 5432,
            "USER": unquote(database.username or ""),
            "PASSWORD": unquote(database.password or ""),
            "NAME": unquote(database.path[1:]),
        }
    },
    LOGIN_REDIRECT_URL="/",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.decorators import login_required  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402


@login_required
def home(request):
    return HttpResponse(f"Hello {request.user.username}\n", content_type="text/plain")


urlpatterns = [path("accounts/", include("django.contrib.auth.urls")), path("", home)]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
