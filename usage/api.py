"""The API's faces of the questions about usage."""

from dataclasses import asdict
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers as fields
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import validated
from accounts.enforcement import signed_in
from accounts.rbac import Permission
from litemaas.foundation.access import access
from litemaas.foundation.bodies import WhatThereIs
from litemaas.foundation.downloads import download
from usage import queries, serializers
from usage.export import FORMATS, TYPES, export

REPEATABLE = ("model", "api_key", "team", "user", "provider")
PARAMETERS = [
    OpenApiParameter("start", OpenApiTypes.DATE, description="First UTC day, included."),
    OpenApiParameter("end", OpenApiTypes.DATE, description="Last UTC day, included."),
    *(OpenApiParameter(name, OpenApiTypes.STR, many=True) for name in REPEATABLE),
]


def question_of(request: Request) -> queries.Question:
    """The question in a query string; raises a ValidationError that names the wrong parameter."""
    sent: dict[str, Any] = {
        name: request.query_params[name] for name in ("start", "end") if name in request.query_params
    }
    sent |= {name: request.query_params.getlist(name) for name in REPEATABLE if name in request.query_params}
    return queries.Question.of(**validated(serializers.QuestionSerializer(data=sent)))


def with_freshness(question: queries.Question, answer: dict[str, Any]) -> Response:
    """An answer with the range it is about and where its figures come from."""
    fresh = serializers.FreshnessSerializer(asdict(queries.freshness(question))).data
    return Response({"start": question.start, "end": question.end, **fresh, **answer})


def answer_schema(name: str, results: type[fields.Serializer[Any]] | None = None) -> Any:
    """The schema of an answer, flat or with a list of results."""
    shape: dict[str, fields.Field[Any, Any, Any, Any]] = {"start": fields.DateField(), "end": fields.DateField()}
    shape |= serializers.FreshnessSerializer().fields
    shape |= {"results": results(many=True)} if results else serializers.FiguresSerializer().fields
    return inline_serializer(name, shape)


class FormatIsAsked(WhatThereIs):
    """``format`` in the address is a parameter of the export here, and chooses no renderer."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:  # noqa: A002 -- DRF's name
        """All of them."""
        return renderers


@access(Permission.USAGE_READ)
class UsageViewSet(viewsets.ViewSet):
    """What was used and what it cost: one's own; administrators see everybody's."""

    content_negotiation_class = FormatIsAsked

    @extend_schema(parameters=PARAMETERS, responses=answer_schema("UsageSummary"))
    @action(detail=False)
    def summary(self, request: Request) -> Response:
        """The figures of the range, flat; without dates the last 30 days, today included."""
        question = question_of(request)
        figures = queries.summary(signed_in(request), question)
        return with_freshness(question, serializers.FiguresSerializer(figures).data)

    @extend_schema(
        parameters=[*PARAMETERS, OpenApiParameter("metric"), OpenApiParameter("group_by")],
        responses=answer_schema("UsageTimeseries", serializers.PointSerializer),
    )
    @action(detail=False)
    def timeseries(self, request: Request) -> Response:
        """The figures of each day; ``metric`` keeps one figure, ``group_by`` splits each day."""
        question, sent = question_of(request), request.query_params
        points = queries.timeseries(
            signed_in(request), question, metric=sent.get("metric"), group_by=sent.get("group_by")
        )
        return with_freshness(question, {"results": serializers.PointSerializer(points, many=True).data})

    @extend_schema(
        parameters=[
            *PARAMETERS,
            OpenApiParameter("by", enum=list(queries.DIMENSIONS), default="model"),
            OpenApiParameter("order", enum=list(queries.METRICS), default="spend"),
            OpenApiParameter("limit", OpenApiTypes.INT, description="So many at most, the first; all without it."),
        ],
        responses=answer_schema("UsageBreakdown", serializers.PartSerializer),
    )
    @action(detail=False)
    def breakdown(self, request: Request) -> Response:
        """The figures by model (unless ``by`` says otherwise), the dearest first, or those with most of ``order``."""
        question, sent = question_of(request), request.query_params
        wanted = validated(serializers.PartsSerializer(data=sent))
        parts = queries.breakdown(signed_in(request), question, by=sent.get("by", "model"), **wanted)
        return with_freshness(question, {"results": serializers.PartSerializer(parts, many=True).data})

    @extend_schema(
        parameters=[*PARAMETERS, OpenApiParameter("format", enum=FORMATS, default="csv")],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/json"): answer_schema("UsageExport", serializers.ExportRowSerializer),
        },
    )
    @action(detail=False)
    def export(self, request: Request) -> HttpResponseBase:
        """Every row of the range as a file, by day, model, key, team, person and provider."""
        question, file_format = question_of(request), request.query_params.get("format", FORMATS[0])
        actor, name = signed_in(request), f"usage-{question.start}-{question.end}.{file_format}"
        pieces = export(actor, question, file_format=file_format)
        return download(request, pieces, name=name, content_type=TYPES[file_format], subject=actor.pk)
