"""What a form of the admin portal showed when it was opened: it changes only what was touched, and never unseen."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django import forms
from django.core import signing
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import gettext as _

from litemaas.foundation.errors import Conflict

FIELD: Final = "as_shown"


def sealed(initial: Mapping[str, Any], *, about: str) -> str:
    """The values that a form shows, to be sent along with it; good for what it is ``about`` alone."""
    return signing.dumps(_plain(initial), salt=about)


def touched(form: forms.Form, seal: str, present: Mapping[str, Any], *, about: str) -> dict[str, Any]:
    """What of a valid form differs from what it showed.

    Raises Conflict: changed_meanwhile where somebody else has changed one of these values since, form_outdated for a
    form that does not say what it showed.
    """
    try:
        shown: dict[str, Any] = signing.loads(seal, salt=about)
    except signing.BadSignature as error:
        raise Conflict(_("This form does not fit the page any more. Open it again."), code="form_outdated") from error
    new = {
        name: value for name, value in form.cleaned_data.items() if _differs(form.fields[name], value, shown.get(name))
    }
    now = _plain(present)
    if stale := [name for name in new if now.get(name) != shown.get(name)]:
        names = ", ".join(str(form.fields[name].label) for name in stale)
        message = _("Somebody has changed this meanwhile, and nothing was done: %(names)s. Look at it again.")
        raise Conflict(message % {"names": names}, code="changed_meanwhile", fields=stale)
    return new


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from the page."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(values), cls=DjangoJSONEncoder))
    return plain


def _differs(field: forms.Field, value: Any, shown: Any) -> bool:
    """Several choices have no order, and the page shows moments to the second."""
    before: Any = field.to_python(shown)
    if isinstance(value, datetime) and isinstance(before, datetime):
        return value.replace(microsecond=0) != before.replace(microsecond=0)
    return sorted(value) != sorted(before) if isinstance(value, list) else bool(value != before)
