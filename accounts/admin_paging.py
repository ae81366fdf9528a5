"""How lists of the admin portal are counted and paged, and narrowed by dates: also with millions of rows."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.contrib.admin import FieldListFilter, SimpleListFilter
from django.core.exceptions import ValidationError
from django.core.paginator import EmptyPage, Page, Paginator
from django.db.models import DateTimeField, Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from unfold.contrib.filters.admin import DropdownFilter

# Up to here rows are counted exactly; beyond it nobody waits for a count, and pages go on as long as there are rows.
COUNTED: Final = 100_000
# PostgreSQL's OFFSET ends where its integers do; no list is as long as this.
FARTHEST: Final = 10**12
# The day after it must be in the calendar too.
LAST_DAY: Final = date.max - timedelta(days=1)


class LongPaginator(Paginator):  # type: ignore[type-arg]  # it takes no type at run time
    """Pages to the end of any list. A list that is too long to count says "more than", and still has every page."""

    template_name = "admin/pages.html"

    @cached_property
    def counted(self) -> int:
        """How many rows there are, one more than COUNTED at most."""
        rows: Any = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by()[: COUNTED + 1].count()

    @property
    def is_open(self) -> bool:
        """Whether there are more rows than were counted."""
        return self.counted > COUNTED

    @property
    def count(self) -> int:
        """What the list calls its number of rows."""
        return self.counted

    def validate_number(self, number: Any) -> int:
        """Where the end is not known, any page may be asked for: one beyond it has no rows."""
        if not self.is_open:
            return super().validate_number(number)
        if int(number) * self.per_page > FARTHEST:
            raise EmptyPage(_("That page contains no results"))
        return max(1, int(number))

    def page(self, number: Any) -> "Page[Any]":
        """One page; in an open list the row after it says whether there is another."""
        number = self.validate_number(number)
        if not self.is_open:
            return super().page(number)
        start = (number - 1) * self.per_page
        rows = list(self.object_list[start : start + self.per_page + 1])
        if not rows and number > 1:
            raise EmptyPage(_("That page contains no results"))
        self.has_more = len(rows) > self.per_page
        return Page(rows[: self.per_page], number, self)


class Between(FieldListFilter):
    """From one day to another, both included (UTC), as two fields of the filter form."""

    template = "admin/between.html"

    def __init__(  # noqa: PLR0917 -- Django's signature
        self,
        field: Any,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: Any,
        field_path: str,
    ) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        self.title = _("day")
        self.given = {name: request.GET.get(name, "") for name in self.expected_parameters()}
        self.used_parameters = {name: value for name, value in self.given.items() if value}

    def expected_parameters(self) -> list[Any]:
        """The names of both days."""
        return [f"{self.field_path}_from", f"{self.field_path}_to"]

    def has_output(self) -> bool:
        """Always offered."""
        return True

    def choices(self, changelist: Any) -> Iterator[Any]:
        """What the template draws."""
        first, last = self.expected_parameters()
        yield {
            "first": first,
            "last": last,
            "first_value": self.given[first],
            "last_value": self.given[last],
            "selected": bool(self.used_parameters),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Days that are no days narrow nothing."""
        first, last = (self._day(name) for name in self.expected_parameters())
        if first is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": self._start(first)})
        if last is not None:
            queryset = queryset.filter(
                **{f"{self.field_path}__lt": self._start(min(last, LAST_DAY) + timedelta(days=1))}
            )
        return queryset

    def _day(self, name: str) -> Any:
        try:
            return forms.DateField(required=False, input_formats=["%Y-%m-%d"]).clean(self.given[name])
        except ValidationError:
            return None

    def _start(self, day: Any) -> Any:
        return datetime.combine(day, time.min, tzinfo=UTC) if isinstance(self.field, DateTimeField) else day


class Choice(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """A filter by one of a few values; a value that is none of them narrows nothing."""

    parameter_name: str
    options: Any = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The values with their words."""
        return list(self.options)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows with that value."""
        value = self.value()
        return self.narrow(queryset, value) if value in dict(self.lookup_choices) else queryset

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """By the column called like the parameter; subclasses know better."""
        return queryset.filter(**{self.parameter_name: value})


class About(SimpleListFilter):
    """What belongs to one row of another table: a link narrows the list, and the list says by what."""

    template = "admin/about.html"
    target: Any = None
    name_column = "pk"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The row that was asked for, by its name; nothing is offered otherwise."""
        wanted = request.GET.get(str(self.parameter_name), "")
        if not wanted:
            return []
        return [(wanted, self.label_of(wanted))]

    def label_of(self, wanted: str) -> str:
        """The name of the row, or what was asked for where there is none."""
        if self.target is None:
            return wanted
        try:
            found = self.target._default_manager.filter(pk=wanted).values_list(self.name_column, flat=True).first()
        except (ValidationError, ValueError):
            found = None
        return str(found or wanted)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows that belong to it; none where it is no possible id."""
        value = self.value()
        if not value:
            return queryset
        try:
            return queryset.filter(**{str(self.parameter_name): value})
        except (ValidationError, ValueError):
            return queryset.none()
