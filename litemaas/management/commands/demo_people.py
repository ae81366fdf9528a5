"""manage.py demo_people: make the demo's people."""

from typing import Any

from django.core.management.base import BaseCommand

from litemaas import demo


class Command(BaseCommand):
    """Idempotent: people who exist are left alone."""

    help = "Make the people of the demo (password = name)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Say who was made."""
        for user in demo.make_people():
            self.stdout.write(f"made {user.username}")
