"""What there is to filter usage by: only what somebody may see and what was really used, by name."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import rbac
from accounts.models import User
from apikeys.models import ApiKey
from teams.models import Team
from usage.models import DailyUsage
from usage.queries import DIMENSIONS, Question, facts_of

MOST: Final = 300
Named = list[tuple[str, str]]


@dataclass(frozen=True)
class Choices:
    """Value and name of what may be added, by dimension; ``names`` also has those of what was chosen already."""

    offered: dict[str, Named]
    names: dict[str, dict[str, str]] = field(default_factory=dict)

    def name_of(self, dimension: str, value: Any) -> str:
        """How a chosen value is called; what one may not see has no name."""
        known = self.names.get(dimension, {}).get(str(value))
        return known or (
            str(value) if dimension in {"model", "provider"} else _("unknown (%(id)s…)") % {"id": str(value)[:8]}
        )


def choices(actor: User, question: Question) -> Choices:
    """What was used in the range by those whom the question is about, whatever else it filters by.

    Keys are offered only when the question names people: an installation has thousands of them.
    """
    everything = Question(question.start, question.end, user=question.user)
    used = _used(actor, everything)
    names = {
        "api_key": _keys(actor, used["api_key"] | set(question.api_key)),
        "team": _teams(actor, everything, used["team"], question.team),
        "user": _people(actor, question.user),
    }
    offered: dict[str, Named] = {
        "model": [(name, name) for name in sorted(used["model"])],
        "provider": [(name, name) for name in sorted(used["provider"])],
        "team": sorted(names["team"].items(), key=lambda pair: pair[1].lower()),
        "api_key": sorted(names["api_key"].items(), key=lambda pair: pair[1].lower()) if question.user else [],
    }
    left = {
        name: [pair for pair in found if pair[0] not in _texts(getattr(question, name))]
        for name, found in offered.items()
    }
    return Choices(left, names)


def _texts(values: Iterable[Any]) -> set[str]:
    return {str(value) for value in values}


def _used(actor: User, question: Question) -> dict[str, set[Any]]:
    """Models and providers, and where people are named also their keys and teams."""
    dimensions = ["model", "provider", *(("api_key", "team") if question.user else ())]
    rows = facts_of(actor, question).filter(date__range=(question.start, question.end))
    columns = [DIMENSIONS[name] for name in dimensions]
    found = list(rows.order_by().values_list(*columns).distinct()[: MOST * MOST])
    used: dict[str, set[Any]] = {name: set() for name in ("model", "provider", "api_key", "team")}
    for row in found:
        for name, value in zip(dimensions, row, strict=True):
            used[name] |= {value} if value else set()
    return used


def _keys(actor: User, ids: set[Any]) -> dict[str, str]:
    """Keys by name, those that are gone too: their usage is still there."""
    rows = rbac.filter_resources_by_role(actor, rbac.Permission.APIKEYS_READ, ApiKey._base_manager.all())
    return _named(rows.filter(pk__in=ids), "name") if ids else {}


def _teams(actor: User, question: Question, used: set[Any], chosen: Iterable[Any]) -> dict[str, str]:
    wanted = Q(pk__in={*used, *chosen})
    if not question.user:
        days = (question.start, question.end)
        wanted |= Q(Exists(DailyUsage.objects.filter(team=OuterRef("pk"), date__range=days)))
    return _named(Team.objects.visible_to(actor).filter(wanted), "name")


def _people(actor: User, ids: Iterable[Any]) -> dict[str, str]:
    """Names of people for administrators, and one's own."""
    others = {*ids} - {actor.pk}
    rows = User.objects.filter(pk__in=others if rbac.can_access_admin_features(actor) else ())
    return {str(actor.pk): actor.username} | (_named(rows, "username") if others else {})


def _named(rows: QuerySet[Any], column: str) -> dict[str, str]:
    return {str(pk): str(name) for pk, name in rows.values_list("pk", column)[:MOST]}
