"""The verbs about where somebody is signed in: list it, end it, note its use, say why it is over.

A sign-in is a session of a browser, or a family of tokens of a program (RefreshFamily); people see both in one list.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import Case, Model, Q, QuerySet, When
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import audit, rbac
from accounts.devices import Place, device
from accounts.models import RefreshFamily, User
from accounts.session_store import SessionStore
from accounts.ways_in import NOTED_EVERY, TOLD_FOR, BrowserSession, Ending, PersonalToken, SignInAttempt
from litemaas.foundation import rate_limits
from litemaas.foundation.errors import NotAuthenticated, NotFound

Row = TypeVar("Row", bound=Model)
BROWSER: Final = "browser"
API: Final = "api"
# Attempts to sign in are good for a quarter of an hour.
ATTEMPTS_KEPT: Final = timedelta(hours=1)
# Whoever holds the row is writing about the same use: nobody waits for it, and nobody is waited for.
NOTE_USE: Final = {
    BROWSER: """
        UPDATE accounts_browsersession SET seen_at = %s, address = %s WHERE id =
        (SELECT id FROM accounts_browsersession WHERE id = %s AND ended_at IS NULL FOR UPDATE SKIP LOCKED)
    """,
    API: """
        UPDATE accounts_refreshfamily SET last_used_at = %s, address = %s WHERE id =
        (SELECT id FROM accounts_refreshfamily WHERE id = %s AND revoked_at IS NULL FOR UPDATE SKIP LOCKED)
    """,
}


@dataclass(frozen=True)
class SignIn:
    """One place where somebody is signed in; the id is no secret."""

    id: UUID
    kind: str
    device: str
    address: str
    began_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool


# --- What there is ---------------------------------------------------------------------------------------------------


class SignIns:
    """The sign-ins of somebody as pages read them: a stretch at a time, so that thousands cost what ten do."""

    def __init__(self, user: User, current: UUID | None) -> None:
        now = timezone.now()
        self.current = current
        self.browsers = BrowserSession.objects.alive(now).filter(user=user).defer("data")
        self.families = _living_families(user, now)

    def __len__(self) -> int:
        return self.browsers.count() + self.families.count()

    def __getitem__(self, stretch: slice) -> list[SignIn]:
        """Rows from ``start`` to ``stop``, as a paginator asks for them."""
        start, stop = stretch.start or 0, stretch.stop
        browsers = _this_one_first(self.browsers, self.current, "seen_at")[:stop]
        families = _this_one_first(self.families, self.current, "last_used_at")[:stop]
        found = [_of_browser(row, self.current) for row in browsers]
        found += [_of_family(row, self.current) for row in families]
        found.sort(key=lambda one: (one.is_current, one.last_used_at, one.id), reverse=True)
        return found[start:stop]

    def others(self) -> int:
        """How many there are besides the one that asks."""
        others = Q() if self.current is None else ~Q(pk=self.current)
        return self.browsers.filter(others).count() + self.families.filter(others).count()


def sign_ins_of(user: User, *, current: UUID | None = None) -> SignIns:
    """Where somebody is signed in now: ``current``, which is the one that asks, then the last used first."""
    return SignIns(user, current)


def _living_families(user: User, now: datetime) -> QuerySet[RefreshFamily]:
    return RefreshFamily.objects.filter(user=user, revoked_at=None, expires_at__gt=now)


def _this_one_first(rows: QuerySet[Row], current: UUID | None, used: str) -> QuerySet[Row]:
    ranked: Any = rows.alias(rank=Case(When(pk=current, then=0), default=1)) if current else rows
    return cast("QuerySet[Row]", ranked.order_by(*(["rank"] if current else []), f"-{used}", "-pk"))


def _of_browser(row: BrowserSession, current: UUID | None) -> SignIn:
    times = (row.begun_at, row.seen_at, end_of(row))
    return SignIn(row.id, BROWSER, device(row.agent), row.address, *times, is_current=row.id == current)


def end_of(row: BrowserSession) -> datetime:
    """When a session ends if it is not used any more."""
    ends: datetime = min(row.begun_at + settings.SESSION_LIFETIME, row.seen_at + settings.SESSION_IDLE_LIFETIME)
    return ends


def _of_family(row: RefreshFamily, current: UUID | None) -> SignIn:
    times = (row.created_at, row.last_used_at, row.expires_at)
    return SignIn(row.id, API, device(row.agent), row.address, *times, is_current=row.id == current)


def session_id(session: SessionBase) -> UUID | None:
    """The id under which a request's session stands in the list."""
    store = SessionStore.of(session)
    return store.row.id if store and store.row else None


# --- Its end ---------------------------------------------------------------------------------------------------------


def end_sign_in(actor: User, *, sign_in_id: UUID) -> None:
    """End one of one's own sign-ins, at once and with all its tokens; again changes nothing. Raises NotFound.

    Everybody may, whatever the role: whoever lost a computer must be able to lock it out. Raises RateLimited.
    """
    rate_limits.spend("access_changes", actor.pk)
    mine: dict[str, Any] = {"user": actor, "pk": sign_in_id}
    with transaction.atomic():
        if _end(actor, user=actor, pk=sign_in_id):
            audit.record(actor, audit.Action.SESSION_ENDED, actor, session=str(sign_in_id))
            return
    if not (BrowserSession.objects.filter(**mine).exists() or RefreshFamily.objects.filter(**mine).exists()):
        raise NotFound


def end_sign_in_of(actor: User, row: BrowserSession) -> None:
    """End somebody's session, for administrators; again changes nothing."""
    rbac.require(actor, rbac.Permission.SESSIONS_END, row)
    owner = row.user
    if owner is None:
        raise NotFound
    with transaction.atomic():
        if _end(actor, user=owner, pk=row.pk):
            audit.record(actor, audit.Action.SESSION_ENDED, owner, session=str(row.pk))


def end_other_sign_ins(actor: User, *, current: UUID | None) -> int:
    """End all of one's own sign-ins but the one that asks. Returns how many. Raises RateLimited."""
    rate_limits.spend("access_changes", actor.pk)
    with transaction.atomic():
        ended = _end(actor, besides=current, user=actor)
        if ended:
            audit.record(actor, audit.Action.SESSION_ENDED, actor, number=ended)
    return ended


def count_sign_ins(user: User) -> int:
    """How many sessions and programs are signed in as this person at this moment."""
    now = timezone.now()
    return BrowserSession.objects.alive(now).filter(user=user).count() + _living_families(user, now).count()


def keep_newest_programs(user: User) -> int:
    """End the sign-ins of programs that were not used for longest, where there are more than the settings allow.

    For each new one; a script that signs in each time it runs would leave thousands behind. Returns how many.
    """
    now = timezone.now()
    with transaction.atomic():
        # Two that sign in at once would each see the other's not yet, and both leave one too many.
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk").first()
        newest = _living_families(user, now).order_by("-last_used_at", "-created_at", "-pk")
        surplus = list(newest.values_list("pk", flat=True)[settings.API_SIGN_INS_PER_USER :])
        if surplus:
            RefreshFamily.objects.filter(pk__in=surplus, revoked_at=None).update(revoked_at=now)
            audit.record(user, audit.Action.SESSION_ENDED, user, number=len(surplus), reason="too_many")
    return len(surplus)


def end_all_sign_ins(actor: User | None, user: User) -> int:
    """End every sign-in of somebody, sessions and tokens of programs, at once; personal access tokens stay.

    Returns how many. For administrators, and (``actor`` None) for the system, whose sign-in service shuts somebody out.
    Joins the caller's transaction.
    """
    if actor is not None:
        rbac.require(actor, rbac.Permission.SESSIONS_END, user)
    with transaction.atomic():
        ended = _end(actor, user=user)
        if ended:
            audit.record(actor, audit.Action.SESSION_ENDED, user, number=ended)
    return ended


def _end(actor: User | None, *, besides: UUID | None = None, user: User, **which: Any) -> int:
    now = timezone.now()
    ending = Ending.PROVIDER if actor is None else Ending.ELSEWHERE if actor.pk == user.pk else Ending.ADMIN
    others = Q() if besides is None else ~Q(pk=besides)
    browsers = BrowserSession.objects.alive(now).filter(others, user=user, **which)
    families = RefreshFamily.objects.filter(others, user=user, revoked_at=None, expires_at__gt=now, **which)
    # What the session kept goes with it; only why it ended stays, to be told.
    return browsers.update(ended_at=now, ended_by=ending, data="") + families.update(revoked_at=now)


def why_nobody(session: SessionBase) -> NotAuthenticated:
    """The error that says why a request is nobody's, where its session knows that."""
    store = SessionStore.of(session)
    if SESSION_KEY in session:  # it is good, but the person may not come in
        message = _("Your account is deactivated. Ask an administrator of this portal.")
        return NotAuthenticated(message, code="user_deactivated")
    return _over(store.ending) if store and store.ending else NotAuthenticated()


def _over(ending: Ending) -> NotAuthenticated:
    if ending is Ending.IDLE:
        minutes = int(settings.SESSION_IDLE_LIFETIME.total_seconds() // 60)
        message = ngettext(
            "You were signed out because you did nothing here for a minute. Sign in to go on.",
            "You were signed out because you did nothing here for %(minutes)s minutes. Sign in to go on.",
            minutes,
        ) % {"minutes": minutes}
        return NotAuthenticated(message, code="session_idle")
    if ending is Ending.TOO_OLD:
        hours = int(settings.SESSION_LIFETIME.total_seconds() // 3600)
        message = ngettext(
            "A session lasts an hour, and yours is over. Sign in to go on.",
            "A session lasts %(hours)s hours, and yours is over. Sign in to go on.",
            hours,
        ) % {"hours": hours}
        return NotAuthenticated(message, code="session_expired")
    if ending is Ending.ADMIN:
        return NotAuthenticated(_("An administrator has ended your session."), code="session_ended")
    if ending is Ending.PROVIDER:
        message = _("Your sign-in service does not list you any more in the group that may use this portal.")
        return NotAuthenticated(message, code="session_ended")
    message = _("You were signed out here from another of your sessions. If it was not you, tell an administrator.")
    return NotAuthenticated(message, code="session_ended")


# --- Its use ---------------------------------------------------------------------------------------------------------


def note_session_use(session: SessionBase, place: Place) -> None:
    """Remember that a session was used and from where, at most once a minute."""
    store = SessionStore.of(session)
    if store and store.row and store.row.user_id:
        note_use(BROWSER, store.row.id, store.row.seen_at, place)


def note_use(kind: str, sign_in_id: UUID | str, noted: datetime, place: Place) -> None:
    """Remember the use of a sign-in unless that was ``noted`` within the last minute."""
    now = timezone.now()
    if noted <= now - NOTED_EVERY:
        with connection.cursor() as cursor:
            cursor.execute(NOTE_USE[kind], [now, place["address"], sign_in_id])


def forget_old_sign_ins() -> int:
    """Remove what is over: sessions, families, attempts, form tickets, and tokens that ended long ago. Returns how
    many."""
    now = timezone.now()
    over = now - TOLD_FOR
    rows: tuple[Any, ...] = (
        BrowserSession.objects.forgettable(now),
        RefreshFamily.objects.filter(expires_at__lt=over),
        RefreshFamily.objects.filter(revoked_at__lt=over),
        SignInAttempt.objects.filter(begun_at__lt=now - ATTEMPTS_KEPT),
        PersonalToken.objects.forgettable(now),
        Session.objects.filter(expire_date__lt=now),
    )
    return sum(found.delete()[0] for found in rows)
