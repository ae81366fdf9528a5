"""Django's session engine, over a table of ours: a session knows its person, its place and its two lifetimes.

Not a subclass of Django's own database store: that keeps the cookie's value as it is, and saves whole rows, so that a
request which is still running would bring back a session that was ended meanwhile.
"""

from typing import Any, Self

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.devices import Place
from accounts.models import User
from accounts.ways_in import BrowserSession, Ending
from litemaas.foundation import logs
from litemaas.foundation.crypto import secret_digest


class SessionStore(SessionBase):
    """What ``request.session`` is (``SESSION_ENGINE``)."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        # The row as it was read or made; None while there is none.
        self.row: BrowserSession | None = None
        # Why the session that the browser has shown is over, if it was one.
        self.ending: Ending | None = None
        self.place: Place = {"agent": "", "address": ""}

    def load(self) -> dict[str, Any]:
        """What was kept; nothing, under no key, when the session is over."""
        found = BrowserSession.objects.filter(digest=secret_digest(self.session_key or "")).first()
        self.ending = found.ending(timezone.now()) if found else None
        if found is None or self.ending is not None:
            self._session_key = None
            return {}
        self.row = found
        if found.user_id is not None:
            # Also a program's request may have a cookie; what let it in is its token, which is known by then.
            logs.bind_credential("session", found.id, unless_known=True)
        kept: dict[str, Any] = self.decode(found.data)
        return kept

    def exists(self, session_key: str | None = None) -> bool:
        """Whether there is a row for a key, good or not."""
        return BrowserSession.objects.filter(digest=secret_digest(session_key or "")).exists()

    def create(self) -> None:
        """A new row under a key that nobody has."""
        while True:
            self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]  # the stubs leave it out
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 -- Django's signature
        """Write what is kept. Raises UpdateError for a session that was ended since it was read."""
        if self.session_key is None:
            return self.create()
        data, now = self._get_session(no_load=must_create), timezone.now()  # type: ignore[attr-defined]  # as above
        person: str | None = data.get(SESSION_KEY)
        new: dict[str, Any] = {"data": self.encode(data), "seen_at": now}
        if must_create or self.row is None or str(self.row.user_id or "") != (person or ""):
            # Both lifetimes count from the sign-in, not from the first look at the sign-in page.
            new |= {"user_id": person, "begun_at": now, **self.place}
        with transaction.atomic():
            if "user_id" in new and person and not _may_begin(person):
                new |= {"data": "", "ended_at": now, "ended_by": Ending.ADMIN}
            return self._insert(new) if must_create else self._update(new)

    def _insert(self, new: dict[str, Any]) -> None:
        try:
            with transaction.atomic():
                self.row = BrowserSession.objects.create(digest=secret_digest(self.session_key or ""), **new)
        except IntegrityError as error:
            raise CreateError from error

    def _update(self, new: dict[str, Any]) -> None:
        rows = BrowserSession.objects.filter(digest=secret_digest(self.session_key or ""), ended_at=None)
        if not rows.update(**new):
            raise UpdateError
        for name, value in new.items() if self.row else ():
            setattr(self.row, name, value)

    def delete(self, session_key: str | None = None) -> None:
        """Remove the row of a key, else one's own."""
        key = session_key or self.session_key
        if key is not None:
            BrowserSession.objects.filter(digest=secret_digest(key)).delete()
        if session_key is None:
            self.row = None

    @classmethod
    def clear_expired(cls) -> None:
        """For ``manage.py clearsessions``; the worker does the same every quarter of an hour."""
        BrowserSession.objects.forgettable(timezone.now()).delete()

    @classmethod
    def of(cls, session: SessionBase) -> Self | None:
        """A request's session for who needs to know more of it than Django does; None for one of another engine."""
        return session if isinstance(session, cls) else None


def _may_begin(person: str) -> bool:
    """Whether somebody may come in, still now: a deactivation that came since the sign-in was looked at has ended all
    sessions that it saw. Locked for the transaction: one that comes now waits for this session, and ends it."""
    return User.objects.select_for_update(no_key=True).filter(pk=person, is_active=True).exists()
