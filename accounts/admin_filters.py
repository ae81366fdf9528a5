"""The filters that lists of several apps share."""

from typing import Any, Final

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.admin_paging import About, Choice
from accounts.models import Role, User
from litellm_sync.state import SyncStatus

YES_NO: Final = (("1", _("Yes")), ("0", _("No")))


class ByRole(Choice):
    """People who have a role, the strongest or not."""

    title, parameter_name, options = _("role"), "role", Role.choices

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Roles are a list."""
        return queryset.filter(roles__contains=[value])


class ByActive(Choice):
    """Those who may sign in, or those who may not."""

    title, parameter_name, options = _("active"), "is_active", YES_NO


class BySync(Choice):
    """Rows by whether LiteLLM agrees with them."""

    title, parameter_name, options = _("synchronisation"), "sync_status", SyncStatus.choices


class ByUser(About):
    """What belongs to one person."""

    title, parameter_name, target, name_column = _("user"), "user", User, "username"
