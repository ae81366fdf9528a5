"""Telling owners that a key expires soon: each once for each number of days, in the portal and by e-mail.

Nobody is told of a key that does not work anyway (revoked, blocked, its owner deactivated), nor of days that had begun
before the key was made. The mail server is asked without a transaction and without a connection to the database.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyStatus
from apikeys.upkeep import ExpiryNotice, MailState
from litemaas.foundation import preferences

log = structlog.get_logger(__name__)

DUMMY: Final = "django.core.mail.backends.dummy.EmailBackend"
BATCH: Final = 1000
# One round of the job; what is left is for the next, a few minutes later.
PEOPLE_A_ROUND: Final = 500
KEYS_A_MAIL: Final = 20
# Whoever sends a mail has this long; then somebody else may, and a crash in between sends it twice at worst.
CLAIM: Final = timedelta(minutes=5)
FIRST_BACK_OFF: Final = timedelta(minutes=5)
LONGEST_BACK_OFF: Final = timedelta(hours=6)


def announce(now: datetime) -> int:
    """Note whom to tell of what; twice at once notes nothing twice. Returns how many keys were looked at."""
    seen, earlier = 0, timedelta()
    for days in settings.KEY_EXPIRY_NOTICE_DAYS:
        span = timedelta(days=days)
        keys = _due(days, span).filter(expires_at__gt=now + earlier, expires_at__lte=now + span)
        for batch in _batches(keys):
            fresh = [_notice(key, days, now) for key in batch]
            ExpiryNotice.objects.bulk_create(fresh, ignore_conflicts=True)
            _take_up_again(fresh, now)
            seen += len(batch)
        earlier = span
    return seen


def _due(days: int, span: timedelta) -> ApiKeyQuerySet:
    """Working keys of which nobody has been told for as many days; what was dropped while a key was blocked was not."""
    told = ExpiryNotice.objects.filter(key=OuterRef("pk"), expires_at=OuterRef("expires_at"), days=days)
    told = told.exclude(mail=MailState.DROPPED)
    working = ApiKey.objects.filter(deleted_at=None, status=KeyStatus.ACTIVE, user__is_active=True)
    rows = working.filter(~Exists(told), created_at__lt=F("expires_at") - span)
    return rows.select_related("user").only("expires_at", "user__email")


def _batches(keys: ApiKeyQuerySet) -> Iterator[list[ApiKey]]:
    """Each batch is noted before the next is asked for, so none comes twice."""
    while batch := list(keys.order_by("pk")[:BATCH]):
        yield batch


def _notice(key: ApiKey, days: int, now: datetime) -> ExpiryNotice:
    mail = MailState.WAITING if key.user.email and settings.EMAIL_BACKEND != DUMMY else MailState.NONE
    return ExpiryNotice(key=key, expires_at=key.expires_at or now, days=days, mail=mail, next_at=now, created_at=now)


def _take_up_again(fresh: list[ExpiryNotice], now: datetime) -> None:
    """Rows that were dropped are the same notices once more; what somebody has sent meanwhile stays as it is."""
    for mail in (MailState.WAITING, MailState.NONE):
        keys = [notice.key_id for notice in fresh if notice.mail == mail]
        dropped = ExpiryNotice.objects.filter(key__in=keys, days=fresh[0].days, mail=MailState.DROPPED)
        dropped.filter(expires_at=F("key__expires_at")).update(mail=mail, next_at=now, attempts=0, error="")


# --- E-mail ----------------------------------------------------------------------------------------------------------


def send_due(now: datetime) -> int:
    """One mail to each person who is to be told something. Returns how many were sent."""
    due = ExpiryNotice.objects.filter(mail=MailState.WAITING, next_at__lte=now)
    people = due.order_by().values_list("key__user", flat=True).distinct()[:PEOPLE_A_ROUND]
    return sum(_tell(user_id, now) for user_id in list(people))


def _tell(user_id: UUID, now: datetime) -> bool:
    """Whether the person was told; a mail server that is away is tried again later, longer and longer."""
    notices = _claimed(user_id, now)
    if not notices:
        return False
    user, error = notices[0].key.user, ""
    # A key may wait with several numbers of days, after a mail server was away for long: it is told of once.
    once = list({notice.key_id: notice for notice in notices}.values())
    try:
        message = _message(user, once)
        _let_go()
        message.send()
    except Exception as failed:  # noqa: BLE001 -- whatever one person's mail meets, the others get theirs
        # Its words may hold anything, the mail server's password too.
        error = type(failed).__name__
        log.warning("expiry_notice_not_sent", user=str(user.pk), error=error, notices=len(notices))
    _settle(notices, now, error)
    return not error


def _claimed(user_id: UUID, now: datetime) -> list[ExpiryNotice]:
    """What the person is to be told, for the next minutes by nobody else; what nobody needs any more is dropped.

    What waits to be tried again goes with what has become due: one mail says it all.
    """
    waiting = Q(mail=MailState.WAITING, key__user=user_id)
    with transaction.atomic():
        rows = ExpiryNotice.objects.filter(waiting).select_for_update(skip_locked=True, of=("self",))
        found = list(rows.select_related("key__user").prefetch_related("key__secrets").order_by("expires_at", "pk"))
        if any(_is_claimed(notice, now) for notice in found) or all(notice.next_at > now for notice in found):
            return []
        needed = [notice for notice in found if _is_needed(notice, now)]
        dropped = {notice.pk for notice in found} - {notice.pk for notice in needed}
        _change(dropped, mail=MailState.DROPPED)
        _change({notice.pk for notice in needed}, next_at=now + CLAIM, attempts=F("attempts") + 1, error="")
    return needed


def _is_claimed(notice: ExpiryNotice, now: datetime) -> bool:
    """Whether somebody is sending it at this moment: what only waits for its next try has the error of the last."""
    return notice.next_at > now and notice.attempts > 0 and not notice.error


def _is_needed(notice: ExpiryNotice, now: datetime) -> bool:
    key = notice.key
    works = key.deleted_at is None and key.status_at(now) is KeyStatus.ACTIVE
    return works and key.expires_at == notice.expires_at and bool(key.user.email)


def _settle(notices: list[ExpiryNotice], now: datetime, error: str) -> None:
    ids = {notice.pk for notice in notices}
    if not error:
        _change(ids, mail=MailState.SENT, sent_at=timezone.now(), error="")
        return
    waits = min(FIRST_BACK_OFF * 2 ** min(max(notice.attempts for notice in notices), 10), LONGEST_BACK_OFF)
    _change(ids, next_at=now + waits, error=error[:100])


def _change(ids: set[int], **columns: Any) -> None:
    """What somebody else has settled meanwhile stays as it is."""
    if ids:
        ExpiryNotice.objects.filter(pk__in=ids, mail=MailState.WAITING).update(**columns)


def _let_go() -> None:
    """Nobody holds a connection while a mail server thinks; a test's own transaction keeps it."""
    if not connection.in_atomic_block:
        connection.close()


# --- Words -----------------------------------------------------------------------------------------------------------


def _message(user: User, notices: list[ExpiryNotice]) -> EmailMessage:
    """In the person's language and time zone."""
    language = user.language or settings.LANGUAGE_CODE
    zone = preferences.zone(user.time_zone)
    with translation.override(language), timezone.override(zone):
        words = ngettext(
            "LiteMaaS: an API key of yours expires soon",
            "LiteMaaS: %(number)s API keys of yours expire soon",
            len(notices),
        )
        subject, body = words % {"number": len(notices)}, "\n".join(_lines(user, notices))
    # The same after a crash between sending and noting it: mail programs show a message once that comes twice.
    name = f"<expiry-{notices[0].pk}-{notices[-1].pk}@{settings.DEFAULT_FROM_EMAIL.rpartition('@')[2].rstrip('>')}>"
    return EmailMessage(
        subject, body, to=[user.email], headers={"Message-ID": name, "Auto-Submitted": "auto-generated"}
    )


def _lines(user: User, notices: list[ExpiryNotice]) -> Iterator[str]:
    yield _("Hello %(name)s,") % {"name": user.display_name}
    yield ""
    yield ngettext("this API key stops working soon:", "these API keys stop working soon:", len(notices))
    yield ""
    for notice in notices[:KEYS_A_MAIL]:
        yield _("%(name)s (%(secret)s): %(moment)s") % {
            "name": notice.key.name,
            "secret": notice.key.masked,
            "moment": f"{timezone.localtime(notice.expires_at):%Y-%m-%d %H:%M %Z}",
        }
        if settings.PORTAL_URL:
            yield f"    {settings.PORTAL_URL}{reverse('api-key', args=[notice.key_id])}"
    if (more := len(notices) - KEYS_A_MAIL) > 0:
        yield ngettext("and %(number)s more", "and %(number)s more", more) % {"number": more}
    yield ""
    yield _("If a program still needs it, move its expiry on its page in the portal before then. Otherwise do nothing.")


# --- What the portal shows -------------------------------------------------------------------------------------------


def expiring_of(user: User, now: datetime) -> list[ApiKey]:
    """Somebody's working keys that expire within the longest of the days, the next first."""
    days = max(settings.KEY_EXPIRY_NOTICE_DAYS, default=0)
    mine = ApiKey.objects.filter(user=user, deleted_at=None, status=KeyStatus.ACTIVE)
    return list(
        mine.filter(expires_at__gt=now, expires_at__lte=now + timedelta(days=days)).order_by("expires_at", "pk")
    )


def expires_within_notice(key: ApiKey, now: datetime) -> bool:
    """Whether a key's page should say that it ends soon."""
    days = max(settings.KEY_EXPIRY_NOTICE_DAYS, default=0)
    is_near = key.expires_at is not None and now < key.expires_at <= now + timedelta(days=days)
    return is_near and key.status_at(now) is KeyStatus.ACTIVE
