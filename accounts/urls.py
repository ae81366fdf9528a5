"""The addresses of signing in and out, of one's sessions and one's personal access tokens."""

from django.urls import path

from accounts import me_views, views

urlpatterns = [
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("signed-out", views.signed_out, name="signed-out"),
    path("profile/sessions", me_views.sign_ins, name="profile-sessions"),
    path("profile/sessions/end-others", me_views.end_other_sign_ins, name="profile-sessions-end-others"),
    path("profile/sessions/<uuid:sign_in_id>/end", me_views.end_sign_in, name="profile-session-end"),
    path("profile/tokens", me_views.tokens, name="profile-tokens"),
    path("profile/tokens/create", me_views.token_create, name="profile-token-create"),
    path("profile/tokens/<uuid:token_id>/revoke", me_views.token_revoke, name="profile-token-revoke"),
]
