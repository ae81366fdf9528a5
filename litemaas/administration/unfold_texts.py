"""Texts of unfold's that the admin portal shows: it has no catalogues, so ours translate them. Nothing calls this."""

from typing import Final

from django.utils.translation import gettext_noop

TEXTS: Final = (
    gettext_noop("Apply Filters"),
    gettext_noop("Select action"),
    gettext_noop("Select all rows"),
    gettext_noop("Select record"),
)
