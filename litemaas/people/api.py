"""The API's face of people, for administrators."""

from dataclasses import asdict
from typing import Any, Final, cast

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.filters import SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from accounts import identities, people
from accounts.api import validated
from accounts.enforcement import enforce_further, signed_in
from accounts.models import Role, User, UserQuerySet
from accounts.rbac import Permission
from litellm_sync.state import SyncStatus
from litemaas.foundation.access import access
from litemaas.foundation.pagination import Filters, Order
from litemaas.people import offboarding
from litemaas.people.serializers import (
    COLUMNS,
    BulkLimitsSerializer,
    IdentitySerializer,
    NewIdentitySerializer,
    NewUserSerializer,
    OffboardingSerializer,
    OffboardSerializer,
    OutcomesSerializer,
    UserChangesSerializer,
    UserSerializer,
    WholeUserSerializer,
)
from teams.services import provision_user

# What PATCH changes besides limits, each with a permission of its own.
FURTHER: Final = {"roles": Permission.USERS_GRANT, "is_active": Permission.USERS_DEACTIVATE}


class UserFilter(django_filters.FilterSet):
    """Role, activity, synchronisation."""

    role = django_filters.ChoiceFilter(choices=Role.choices, method="by_role")
    is_active = django_filters.BooleanFilter()
    sync_status = django_filters.ChoiceFilter(choices=SyncStatus.choices)

    class Meta:
        model = User
        fields = ("role", "is_active", "sync_status")

    def by_role(self, rows: UserQuerySet, _name: str, role: str) -> UserQuerySet:
        """Those who have it, the strongest or not."""
        return rows.with_role(role)


class UserSearch(SearchFilter):
    """``search=ada lang``: words of names and addresses that begin so; an index answers."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """Everybody where nothing is searched for."""
        terms = self.get_search_terms(request)
        return cast("UserQuerySet", queryset).search(" ".join(terms)) if terms else queryset


@access(Permission.USERS_READ)
class UserViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[User]):
    """Everybody who has signed in or was added."""

    queryset = User.objects.only(*COLUMNS).order_by("username")
    serializer_class = UserSerializer
    filterset_class = UserFilter
    filter_backends = (Filters, UserSearch, Order)
    search_fields = ("username", "full_name", "email")
    ordering_fields = ("username", "full_name", "email", "spend", "last_login", "created_at")
    lookup_value_converter = "uuid"

    def get_serializer_class(self) -> type[BaseSerializer[User]]:
        """A single person is shown with more than lists can afford."""
        return UserSerializer if self.action == "list" else WholeUserSerializer

    @extend_schema(request=NewUserSerializer, responses={201: WholeUserSerializer})
    @access(Permission.USERS_CREATE)
    def create(self, request: Request) -> Response:
        """Make a person, a member of the default team; linked to a sign-in service (``identities``) it gets in."""
        data = validated(NewUserSerializer(data=request.data))
        roles = [Role(name) for name in data.pop("roles", [])]
        made = provision_user(signed_in(request), roles=roles, **data)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(request=UserChangesSerializer, responses=WholeUserSerializer)
    @access(Permission.USERS_UPDATE)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change roles, limits, whether somebody is active: all that is sent, or nothing."""
        data = validated(UserChangesSerializer(data=request.data, partial=True))
        for name, permission in FURTHER.items():
            if name in data:
                enforce_further(request, permission)
        return Response(self.get_serializer(people.update_user(signed_in(request), user_id=pk, **data)).data)

    @extend_schema(request=NewIdentitySerializer, responses={201: IdentitySerializer})
    @access(Permission.USERS_LINK)
    @action(detail=True, methods=["post"], url_path="identities")
    def link(self, request: Request, pk: str) -> Response:
        """Let somebody in whom a sign-in service knows by this id; again changes nothing."""
        data = validated(NewIdentitySerializer(data=request.data))
        made = identities.link_identity(signed_in(request), user_id=pk, **data)
        return Response(IdentitySerializer(made).data, status=201)

    @extend_schema(responses={204: None})
    @access(Permission.USERS_LINK)
    @action(detail=True, methods=["delete"], url_path="identities/<int:identity>")
    def unlink(self, request: Request, pk: str, identity: int) -> Response:
        """Let nobody in so any more; the person's sign-ins end."""
        identities.unlink_identity(signed_in(request), user_id=pk, identity_id=identity)
        return Response(status=204)

    @extend_schema(request=BulkLimitsSerializer, responses=OutcomesSerializer)
    @access(Permission.USERS_UPDATE)
    @action(detail=False, methods=["post"], url_path="bulk-limits", filter_backends=[], pagination_class=None)
    def bulk_limits(self, request: Request) -> Response:
        """The same limits for many people; answers row by row."""
        data = validated(BulkLimitsSerializer(data=request.data))
        outcomes = people.set_limits_of_many(signed_in(request), **data)
        return Response({"results": [asdict(outcome) for outcome in outcomes]})

    @extend_schema(request=OffboardSerializer, responses=OffboardingSerializer)
    @access(Permission.USERS_OFFBOARD)
    @action(detail=True, methods=["post"])
    def offboard(self, request: Request, pk: str) -> Response:
        """End everything by which the person could go on; with ``dry_run`` say only what that is."""
        data = validated(OffboardSerializer(data=request.data))
        if data.pop("dry_run"):
            found = offboarding.plan_offboarding(signed_in(request), user_id=pk)
        else:
            found = offboarding.offboard_user(signed_in(request), user_id=pk, **data)
        return Response(OffboardingSerializer(found).data)
