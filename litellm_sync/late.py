"""Changes of people, teams and memberships that LiteLLM may carry out after we have given up on them.

Secrets note that themselves (``attempted_at``): a key that must not work is not settled meanwhile. These are settled as
soon as LiteLLM agrees, and looked at again when nothing can arrive any more.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKeySecret
from litellm_sync import state
from litellm_sync.client import LiteLLM
from litellm_sync.models import LateCall
from litemaas.foundation.errors import UpstreamRejected
from teams.models import DEFAULT_TEAM_ID, Membership, Team

# So long after it was sent an unanswered call may still be carried out, also after a later one was answered.
MAY_ARRIVE: Final = timedelta(seconds=90)
REMOVAL: Final = LiteLLM.remove_team_member.__name__
AT_ONCE: Final = 500


def send(row: User | Team, call: Callable[..., None], *arguments: Any) -> None:
    """Change something of a person or a team in LiteLLM by one of the client's methods, and raise what that raises.

    It is noted before, for a process may die of it; the answer, also a refusal, ends that.
    """
    until = timezone.now() + MAY_ARRIVE
    note = LateCall.objects.create(kind=state.kind_of(row), object_id=str(row.pk), call=call.__name__, until=until)
    try:
        call(*arguments)
    except UpstreamRejected:
        note.delete()
        raise
    note.delete()


def removal_may_arrive(user_id: Any, now: datetime) -> bool:
    """Whether LiteLLM may still take somebody out of a team, by which it would delete the person's keys of it."""
    return LateCall.objects.filter(object_id=str(user_id), call=REMOVAL, until__gt=now).exists()


def follow(now: datetime) -> int:
    """Have pushed again what can arrive no more: each person with memberships and keys. Returns how many calls."""
    with transaction.atomic():
        rows = LateCall.objects.filter(until__lte=now).order_by("until", "pk").select_for_update(skip_locked=True)
        calls = list(rows[:AT_ONCE])
        people = {UUID(call.object_id) for call in calls if call.kind == state.kind_of(User)}
        teams = {UUID(call.object_id) for call in calls if call.kind == state.kind_of(Team)}
        state.request_pushes(Team, teams)
        state.request_pushes(User, people)
        state.request_pushes(Membership, Membership.objects.filter(user__in=people).values_list("pk", flat=True))
        keys = ApiKeySecret.living().filter(key__user__in=people).exclude(key__team=DEFAULT_TEAM_ID)
        state.request_pushes(ApiKeySecret, keys.values_list("pk", flat=True))
        LateCall.objects.filter(pk__in=[call.pk for call in calls]).delete()
    return len(calls)
