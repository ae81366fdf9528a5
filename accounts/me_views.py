"""The pages of where one is signed in, and of one's personal access tokens."""

import shlex
from typing import Any, Final, cast
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import personal_tokens, sessions
from accounts.me_forms import NewTokenForm, RevokeTokenForm
from accounts.personal_tokens import IssuedToken
from accounts.rbac import Permission, check_permission
from accounts.requests import SignedInRequest
from accounts.ways_in import PersonalToken
from litemaas.foundation.access import SIGNED_IN, access
from litemaas.foundation.forms import perform
from litemaas.foundation.once import new_ticket, use_ticket

ROWS_A_PAGE: Final = 25


@access(Permission.PROFILE_READ)
@require_safe
def sign_ins(request: SignedInRequest) -> HttpResponse:
    """Where one is signed in, this browser first."""
    found = sessions.sign_ins_of(request.user, current=sessions.session_id(request.session))
    page: Any = Paginator(cast("Any", found), ROWS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "accounts/sign_ins.html", {"page": page, "others": found.others()})


@access(SIGNED_IN)
@require_POST
def end_sign_in(request: SignedInRequest, sign_in_id: UUID) -> HttpResponse:
    """Sign out of one place."""
    sessions.end_sign_in(request.user, sign_in_id=sign_in_id)
    messages.success(request, _("You are signed out there."))
    return redirect("profile-sessions")


@access(SIGNED_IN)
@require_POST
def end_other_sign_ins(request: SignedInRequest) -> HttpResponse:
    """Sign out everywhere but here."""
    ended = sessions.end_other_sign_ins(request.user, current=sessions.session_id(request.session))
    words = ngettext(
        "You are signed out of %(count)s other place.", "You are signed out of %(count)s other places.", ended
    )
    messages.success(request, words % {"count": ended})
    return redirect("profile-sessions")


@access(Permission.TOKENS_READ)
@require_safe
def tokens(request: SignedInRequest) -> HttpResponse:
    """One's personal access tokens, the newest first."""
    page = Paginator(PersonalToken.objects.filter(user=request.user), ROWS_A_PAGE).get_page(request.GET.get("page"))
    may_create = check_permission(request.user, Permission.TOKENS_CREATE, request.user)
    return render(request, "accounts/tokens.html", {"page": page, "may_create": may_create})


@access(Permission.TOKENS_CREATE)
@require_http_methods(["GET", "HEAD", "POST"])
def token_create(request: SignedInRequest) -> HttpResponse:
    """Make a token, once however often the form is sent; the answer is the only page that has the secret."""
    form = NewTokenForm(request.POST if request.method == "POST" else None)
    if form.is_valid() and perform(form, use_ticket, request.POST.get("ticket", ""), request.user.pk):
        issued = perform(form, personal_tokens.create_personal_token, request.user, **form.cleaned_data)
        if issued:
            return _issued(request, issued)
    context = {"form": form, "ticket": new_ticket(request.user.pk)}
    return render(request, "accounts/token_create.html", context, status=422 if form.errors else 200)


def _issued(request: SignedInRequest, issued: IssuedToken) -> HttpResponse:
    """The secret, with a call that works as it stands."""
    address = shlex.quote(request.build_absolute_uri(reverse("api-me")))
    call = f'curl {address} \\\n  -H "Authorization: Bearer {issued.secret}"'
    context = {"token": issued.token, "secret": issued.secret, "call": call}
    return render(request, "accounts/token_created.html", context)


@access(Permission.TOKENS_REVOKE)
@require_http_methods(["GET", "HEAD", "POST"])
def token_revoke(request: SignedInRequest, token_id: UUID) -> HttpResponse:
    """Ask once, naming the token; then revoke it."""
    token = get_object_or_404(PersonalToken, user=request.user, pk=token_id)
    form = RevokeTokenForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        revoked = perform(form, personal_tokens.revoke_personal_token, request.user, token_id=token_id)
        if revoked:
            messages.success(request, _("“%(name)s” is revoked and refused from now on.") % {"name": revoked.name})
            return redirect("profile-tokens")
    return render(request, "accounts/token_revoke.html", {"token": token, "form": form})
