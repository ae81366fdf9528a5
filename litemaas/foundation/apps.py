"""Registers the system checks."""

from django.apps import AppConfig


class FoundationConfig(AppConfig):
    """The floor as a Django app: it holds checks, no tables."""

    name = "litemaas.foundation"

    def ready(self) -> None:
        """Importing the module registers its checks."""
        from litemaas.foundation import checks  # noqa: F401, PLC0415 -- only once settings are loaded
