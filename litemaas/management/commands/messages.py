"""``manage.py messages``: the only place that says how texts are collected for translation and compiled again.

It is a tool for those who change LiteMaaS: it needs xgettext of GNU gettext, and Babel, which only developers have.
"""

import shutil
from pathlib import Path
from typing import Any, Final

from babel.messages import Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

# The emulator speaks LiteLLM's English; tests and scratch folders are not shown to anybody.
NOT_OURS: Final = ("litellm_sync/emulator/*", "tests/*", ".*", "build/*", "staticfiles/*")
HOW_TO_INSTALL: Final = (
    "xgettext is missing. On Debian and Ubuntu: apt install gettext; on Fedora and UBI: dnf install gettext; "
    "on macOS: brew install gettext."
)


class Command(BaseCommand):
    """Run it in the checkout's folder."""

    help = "Bring litemaas/locale up to date: collect the texts of the sources, compile the translations."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Write django.po and django.mo of each language but English; ``CommandError`` without xgettext."""
        if shutil.which("xgettext") is None:
            raise CommandError(HOW_TO_INSTALL)
        locale = Path("litemaas/locale")
        locale.mkdir(exist_ok=True)
        for code, _name in settings.LANGUAGES:
            if code != settings.LANGUAGE_CODE:
                folder = locale / code / "LC_MESSAGES"
                folder.mkdir(parents=True, exist_ok=True)
                self._collect(code)
                open_texts = compile_catalogue(folder / "django.po")
                self.stdout.write(f"{code}: {open_texts} texts have no translation yet")

    def _collect(self, code: str) -> None:
        # Files without line numbers: else every change anywhere would change the catalogues too.
        options: dict[str, Any] = {"ignore_patterns": list(NOT_OURS), "no_obsolete": True, "add_location": "file"}
        call_command("makemessages", locale=[code], extensions=["html", "py"], verbosity=0, **options)


def compile_catalogue(path: Path) -> int:
    """Write the ``.mo`` beside a ``.po``; returns how many of its texts are empty or fuzzy and so stay English."""
    with path.open("rb") as source:
        catalogue = read_po(source)
    unfinished = [message for message in catalogue if message.id and not is_finished(message)]
    for message in unfinished:  # an empty plural would be written, and show nothing
        catalogue.delete(message.id, message.context)
    with path.with_suffix(".mo").open("wb") as target:
        write_mo(target, catalogue)
    return len(unfinished)


def is_finished(message: Message) -> bool:
    """Whether a text is translated in every form, and by somebody who was sure."""
    string: Any = message.string
    return not message.fuzzy and all(string if isinstance(string, (list, tuple)) else (string,))
