"""The one way in which a form that was sent twice is carried out once."""

import secrets
from datetime import timedelta

from django.contrib.sessions.models import Session
from django.core import signing
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from litemaas.foundation.errors import Conflict

SALT = "litemaas.once"
LIFETIME = timedelta(hours=12)


def new_ticket(owner: object) -> str:
    """A ticket for one form on one page of ``owner``; nothing is stored until it is used."""
    return signing.dumps([str(owner), secrets.token_urlsafe(15)], salt=SALT)


def use_ticket(ticket: str, owner: object) -> bool:
    """True the first time; raises Conflict (already_sent, form_expired) ever after.

    The primary key of the sessions' table decides who is first, across all processes, and the command that clears
    old sessions clears tickets too. The row holds nothing, so it is nobody's session.
    """
    try:
        holder, nonce = signing.loads(ticket, salt=SALT, max_age=LIFETIME)
    except signing.BadSignature:
        holder, nonce = None, ""
    if holder != str(owner):
        raise Conflict(_("This page had expired. Nothing was changed; send the form again."), code="form_expired")
    try:
        with transaction.atomic():
            Session.objects.create(session_key=f"once-{nonce}", session_data="", expire_date=timezone.now() + LIFETIME)
    except IntegrityError as error:
        message = _("This form was sent before and was carried out then. Send it again only to have it done twice.")
        raise Conflict(message, code="already_sent") from error
    return True
