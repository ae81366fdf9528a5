"""The page of usage and cost."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.rbac import Permission, can_access_admin_features
from accounts.requests import SignedInRequest
from litemaas.foundation.access import access
from litemaas.foundation.errors import Invalid
from litemaas.foundation.forms import perform
from usage import forms
from usage.choices import Choices, choices
from usage.forms import UsageFilter
from usage.queries import DIMENSIONS, Question
from usage.report import report, was_ever_used

TEMPLATE: Final = "usage/usage.html"


@dataclass(frozen=True)
class Chip:
    """A filter that was chosen, and the address without it."""

    name: str
    value: str
    label: Any
    words: str
    url: str


@dataclass(frozen=True)
class Adding:
    """A select that adds a filter."""

    name: str
    label: Any
    offered: list[tuple[str, str]]


@access(Permission.USAGE_READ)
@require_safe
def usage(request: SignedInRequest) -> HttpResponse:
    """What was used and what it cost; administrators may look at everybody's and at anybody's."""
    may_see_all = can_access_admin_features(request.user)
    everybody = may_see_all and request.GET.get("of") == "everybody"
    form = UsageFilter(request.GET, may_see_all=may_see_all)
    context: dict[str, Any] = {"form": form, "may_see_all": may_see_all, "everybody": everybody}
    context |= {"ranges": forms.RANGES, "metrics": forms.METRICS, "kept": list(_kept(request.GET, form))}
    whose = [] if everybody else [request.user.pk]
    question = perform(form, form.question, whose) if form.is_valid() else None
    if question is None:
        return _refused(request, context)
    return render(request, TEMPLATE, context | _answers(request, form, question))


def _refused(request: SignedInRequest, context: dict[str, Any]) -> HttpResponse:
    """What was asked stands there to be corrected; htmx leaves the page as it is and shows the reason on top."""
    form: UsageFilter = context["form"]
    if request.headers.get("HX-Request") == "true":
        raise Invalid(next(iter(form.errors.values()))[0])
    chosen = {name: request.GET.getlist(name) for name in DIMENSIONS if name in form.fields}
    if "user" in form.errors:
        context["typed"] = chosen.pop("user")[-1]
    context["chips"] = list(_chips(request.GET, form, chosen, Choices({})))
    return render(request, TEMPLATE, context, status=422)


def _kept(sent: QueryDict, form: UsageFilter) -> Iterator[tuple[str, str]]:
    """What the form sends along unseen: whatever is right, so that only the wrong has to be corrected."""
    for name in ("range", "days", "of", "metric", "split", "by"):
        if sent.get(name) and name not in form.errors:
            yield name, str(sent[name])
    for name in DIMENSIONS:
        if name in form.fields and name not in form.errors:
            yield from ((name, value) for value in dict.fromkeys(sent.getlist(name)) if value)


def _answers(request: SignedInRequest, form: UsageFilter, question: Question) -> dict[str, Any]:
    parts = {name: words for name, words in forms.PARTS if name in form.fields}
    metric, by = form.chosen("metric", forms.METRICS[0][0]), form.chosen("by", forms.PARTS[0][0])
    # An address that an administrator sends may divide by people; who sees nobody else gets the first division.
    by = by if by in parts else forms.PARTS[0][0]
    offered = choices(request.user, question)
    chosen = {name: form.cleaned_data.get(name) or [] for name in DIMENSIONS}
    found = report(request.user, question, metric=metric, by=by, split=bool(form.chosen("split", "")))
    return {
        "metric": metric,
        "by": by,
        "split": form.chosen("split", ""),
        "range": form.chosen_range,
        "parts": list(parts.items()),
        "by_words": parts[by],
        "chips": list(_chips(request.GET, form, chosen, offered)),
        "adding": list(_adding(form, offered)),
        "report": found,
        "lines": [(part, _only(request.GET, by, part.value)) for part in found.parts],
        "was_ever_used": not found.is_empty or was_ever_used(request.user, question),
        "export": _export(request.user, question),
    }


def _chips(sent: QueryDict, form: UsageFilter, chosen: Mapping[str, Iterable[Any]], known: Choices) -> Iterator[Chip]:
    for name, values in chosen.items():
        for value in filter(None, values):
            yield Chip(
                name, str(value), form.fields[name].label, known.name_of(name, value), _without(sent, name, value)
            )


def _without(sent: QueryDict, name: str, value: Any) -> str:
    """The address without one value; a person may stand there by name, so without any if only one was named."""
    left = sent.copy()
    values = [one for one in sent.getlist(name) if one]
    left.setlist(name, [one for one in values if one != str(value)] if len(values) > 1 else [])
    return f"?{left.urlencode()}"


def _only(sent: QueryDict, name: str, value: str) -> str:
    """The address with one value for a filter; empty for parts that nothing can name."""
    if not value:
        return ""
    query = sent.copy()
    query.setlist(name, [value])
    return f"?{query.urlencode()}"


def _adding(form: UsageFilter, offered: Choices) -> Iterator[Adding]:
    for name, _words in forms.PARTS:
        if found := offered.offered.get(name):
            yield Adding(name, form.fields[name].label, found)


def _export(user: User, question: Question) -> str:
    """The query string with which the API gives the same question's rows."""
    query = QueryDict(mutable=True)
    query["start"], query["end"] = str(question.start), str(question.end)
    for name in DIMENSIONS:
        query.setlist(name, [str(value) for value in getattr(question, name)])
    if not can_access_admin_features(user):
        query.pop("user", None)
    return query.urlencode()
