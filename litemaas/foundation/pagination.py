"""How every list of the API is paged and ordered, so that going through all pages shows each row once."""

import re
from collections.abc import Iterable
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from litemaas.foundation.errors import Invalid

WHOLE_NUMBER = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII)


class Pages(PageNumberPagination):
    """``{"count", "next", "previous", "results"}``; a page beyond the end is 404, one that is no number 422."""

    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100

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


class Order(OrderingFilter):
    """``ordering=name,-created_at``; what cannot be sorted by is 422.

    The primary key comes last: PostgreSQL gives rows that look alike in any order, another one for each page.
    """

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> tuple[str, ...]:
        """What was asked for, else the table's own order; then the primary key."""
        asked: Any = super().get_ordering(request, queryset, view)
        chosen: Any = asked or queryset.query.order_by or _own(queryset.model)
        return (*chosen, "pk")

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


def _own(model: type[Model]) -> tuple[str, ...]:
    return tuple(str(name) for name in model._meta.ordering or ())
