"""The API's faces of where one is signed in, of one's personal access tokens, and of what one has come with."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import credentials, personal_tokens, sessions
from accounts.api import validated
from accounts.enforcement import signed_in
from accounts.me_serializers import (
    CredentialSerializer,
    IssuedTokenSerializer,
    NewTokenSerializer,
    PersonalTokenSerializer,
    SignInSerializer,
)
from accounts.rbac import Permission
from accounts.ways_in import PersonalToken
from litemaas.foundation.access import SIGNED_IN, access


@access(Permission.PROFILE_READ)
class CredentialView(APIView):
    """What one has come with."""

    @extend_schema(responses=CredentialSerializer)
    def get(self, request: Request) -> Response:
        """Who it is, what it may do, when it ends. What is not good any more is answered 401, with the reason."""
        return Response(CredentialSerializer(credentials.shown(request)).data)


@access(Permission.PROFILE_READ)
class SignInsView(generics.GenericAPIView[Any]):
    """Where one is signed in."""

    serializer_class = SignInSerializer
    filter_backends = ()

    @extend_schema(operation_id="me_sessions_list", responses=SignInSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Browsers and programs, this one first, then the last used."""
        found: Any = sessions.sign_ins_of(signed_in(request), current=credentials.sign_in_id(request))
        page: Any = self.paginate_queryset(found)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="me_sessions_destroy_others", responses={204: None})
    @access(SIGNED_IN)
    def delete(self, request: Request) -> Response:
        """Sign out everywhere but here, at once. Personal access tokens stay."""
        sessions.end_other_sign_ins(signed_in(request), current=credentials.sign_in_id(request))
        return Response(status=204)


@access(SIGNED_IN)
class SignInView(APIView):
    """One place where one is signed in."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """End it, at once and with all its tokens; again changes nothing."""
        sessions.end_sign_in(signed_in(request), sign_in_id=pk)
        return Response(status=204)


@access(Permission.TOKENS_READ)
class PersonalTokensView(generics.ListAPIView[PersonalToken]):
    """One's personal access tokens."""

    queryset = PersonalToken.objects.none()
    serializer_class = PersonalTokenSerializer
    search_fields = ("name",)
    ordering_fields = ("created_at", "name", "expires_at", "last_used_at")

    def get_queryset(self) -> QuerySet[PersonalToken]:
        """Also those that ended within the last 90 days."""
        return PersonalToken.objects.filter(user=signed_in(self.request))

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The newest first; the secrets are nowhere."""
        return super().get(request, *args, **kwargs)

    @extend_schema(request=NewTokenSerializer, responses={201: IssuedTokenSerializer})
    @access(Permission.TOKENS_CREATE)
    def post(self, request: Request) -> Response:
        """Make a token. ``secret`` is in this answer and nowhere else."""
        data = validated(NewTokenSerializer(data=request.data))
        issued = personal_tokens.create_personal_token(signed_in(request), **data)
        answer = IssuedTokenSerializer(issued.token, context={"secret": issued.secret}).data
        return Response(answer, status=201)


@access(Permission.TOKENS_REVOKE)
class PersonalTokenView(APIView):
    """One personal access token."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Refuse it from now on, for ever; again changes nothing. Administrators may with anybody's."""
        personal_tokens.revoke_personal_token(signed_in(request), token_id=pk)
        return Response(status=204)
