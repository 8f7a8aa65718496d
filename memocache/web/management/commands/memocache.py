"""ManageCommand: `manage.py memocache`, where `"memocache.web"` is in INSTALLED_APPS."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from memocache import cli

__all__ = ["Command"]


class ManageCommand(BaseCommand):  # type: ignore[misc]
    """The command `manage.py memocache`: what the command `memocache` is, for the functions of this site."""

    help = cli.DESCRIPTION
    requires_system_checks: Sequence[str] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the commands of `memocache`."""
        cli.add_commands(parser)
        self._parser = parser

    def handle(self, *args: Any, **options: Any) -> None:
        """Import what has the views of this site, and do what is asked."""
        urlconf = getattr(settings, "ROOT_URLCONF", None)
        try:
            if isinstance(urlconf, str):
                import_module(urlconf)
        except (Exception, SystemExit) as error:
            message = f"ROOT_URLCONF={urlconf!r} cannot be imported: {type(error).__name__}: {error}"
            raise CommandError(message, returncode=2) from error
        status = cli.run(self._parser, Namespace(**options), self.stdout, self.stderr)
        if status:
            sys.exit(status)


Command = ManageCommand  # as Django calls it
