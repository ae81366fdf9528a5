"""How every list of the API is paged and ordered, so that going through all pages shows each row once."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import django_filters
from django.core.paginator import Page, Paginator
from django.db.models import F, Model, QuerySet
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from litemaas.foundation.errors import Invalid

if TYPE_CHECKING:  # the stubs know it as generic, Django does not
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

TRUTH: Final = {"true": True, "false": False, "True": True, "False": False, "1": True, "0": False}
WHOLE_NUMBER = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII)


class NearestEnd(_Paginator):
    """Counts rows from the end that is nearer: the last page of a long list costs what the first one does.

    The rows must be in one order only (the primary key last), or a row could be on two pages.
    """

    def page(self, number: int | str) -> "Page[Any]":
        """A short first page is a list's only one and needs no count; the second half is read backwards."""
        if str(number) == "1" and self.orphans == 0:
            first = list(self.object_list[: self.per_page])
            if len(first) < self.per_page:
                self.count = len(first)
            return Page(first, 1, self)
        page = super().page(number)
        rows, last = self.object_list, page.start_index() - 1
        if isinstance(rows, QuerySet) and last > self.count // 2:
            after = self.count - page.end_index()
            page.object_list = list(rows.reverse()[after : self.count - last])[::-1]
        return page


class Pages(PageNumberPagination):
    """``{"count", "next", "previous", "results"}``; a page beyond the end is 404, one that is no number 422."""

    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100
    django_paginator_class = NearestEnd

    def get_page_size(self, request: Request) -> int | None:
        """At most a hundred, whatever is asked for."""
        _require_number(request, "page_size")
        return super().get_page_size(request)

    def get_page_number(self, request: Request, paginator: "Paginator[Any]") -> int | str:
        """The first unless the address says."""
        _require_number(request, self.page_query_param)
        return super().get_page_number(request, paginator)


def _require_number(request: Request, name: str) -> None:
    if not WHOLE_NUMBER.fullmatch(request.query_params.get(name, "1")):
        raise Invalid(_("This must be a whole number from 1 on."), field=name)


class Filters(DjangoFilterBackend):
    """Filters by field; a question that names none is not put through a form first."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """What every filter lets through."""
        filters: Any = self.get_filterset_class(view, queryset)
        if filters is None or not any(name in filters.base_filters for name in request.query_params):
            return queryset
        narrowed: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return narrowed


class Order(OrderingFilter):
    """``ordering=name,-created_at``; what cannot be sorted by is 422.

    The primary key comes last: PostgreSQL gives rows that look alike in any order, another one for each page.
    """

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> tuple[str, ...]:
        """What was asked for, else the table's own order; then the primary key. What has no value comes last."""
        asked: Any = super().get_ordering(request, queryset, view)
        chosen: Any = asked or queryset.query.order_by or _own(queryset.model)
        return (*(_nulls_last(queryset.model, name) for name in chosen), "pk")

    def remove_invalid_fields(
        self, queryset: QuerySet[Any], fields: Iterable[str], view: APIView, request: Request
    ) -> list[str]:
        """All of them, or Invalid."""
        valid = [name for name, _label in self.get_valid_fields(queryset, view, {"request": request})]
        wanted = list(fields)
        if any(name.removeprefix("-") not in valid for name in wanted):
            message = _("Lists can be ordered by: %(fields)s.") % {"fields": ", ".join(valid)}
            raise Invalid(message, field=self.ordering_param)
        return wanted


def _nulls_last(model: type[Model], name: Any) -> Any:
    """PostgreSQL puts them first where an order descends. Columns without any keep the order that their index has."""
    nullable = {f"-{field.name}" for field in model._meta.concrete_fields if field.null}
    return F(name.removeprefix("-")).desc(nulls_last=True) if name in nullable else name


def _own(model: type[Model]) -> tuple[str, ...]:
    return tuple(str(name) for name in model._meta.ordering or ())


@extend_schema_field({"type": "boolean"})
class Truth(django_filters.TypedChoiceFilter):
    """True or false; django-filter's own would take anything else for "do not care"."""

    def __init__(self, **kwargs: Any) -> None:
        choices = [(sent, sent) for sent in TRUTH]
        super().__init__(choices=choices, coerce=lambda sent: TRUTH[sent], **kwargs)
