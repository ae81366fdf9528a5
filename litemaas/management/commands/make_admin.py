"""manage.py make_admin: make the first administrator, or make an administrator of somebody."""

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import identities
from litemaas import sign_in
from litemaas.foundation.errors import DomainError


class Command(BaseCommand):
    """Idempotent: an administrator stays one."""

    help = "Make somebody an administrator; a person of this name who does not exist is created."

    def add_arguments(self, parser: CommandParser) -> None:
        """Who it is, and how a person who is made for it will sign in."""
        parser.add_argument("username")
        parser.add_argument("--email", default="", help="the address of a new person")
        parser.add_argument("--password", action="store_true", help="ask for a password of a new person, or read stdin")
        parser.add_argument("--provider", default="", help="a name of SIGN_IN_PROVIDERS, together with --subject")
        parser.add_argument("--subject", default="", help="the provider's id (sub, uid) for the person")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        """Say what was done."""
        provider, subject = options["provider"], options["subject"]
        if bool(provider) != bool(subject):
            raise CommandError("--provider and --subject go together.")
        password = _password() if options["password"] else None
        try:
            with transaction.atomic():
                user, made = sign_in.make_admin(username, email=options["email"], password=password)
                if provider:
                    issuer = sign_in.provider_called(provider).issuer
                    identities.link(None, user, provider=provider, issuer=issuer, subject=subject)
        except DomainError as error:
            raise CommandError(f"{error.message} ({error.code})") from error
        self.stdout.write(f"{user.username} {'was made and is' if made else 'is'} an administrator.")
        if not made and password is not None:
            self.stdout.write("The password was left as it was: the person existed already.")


def _password() -> str:
    """From the terminal, else the first line of the input; never an argument, which other processes could read."""
    found = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not found:
        raise CommandError("A password is needed with --password.")
    return found
