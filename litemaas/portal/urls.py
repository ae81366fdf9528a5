"""The addresses of the pages that put several apps together."""

from django.urls import path

from litemaas.portal import key_page, profile, providers, views

urlpatterns = [
    path("", views.home, name="home"),
    path("theme", views.choose_theme, name="theme"),
    path("api-keys/<uuid:key_id>", key_page.api_key, name="api-key"),
    path("api-keys/<uuid:key_id>/retry", key_page.api_key_retry, name="api-key-retry"),
    path("language", views.choose_language, name="language"),
    path("profile", profile.profile, name="profile"),
    path("profile/language", profile.choose_language, name="profile-language"),
    path("profile/activity", profile.activity, name="profile-activity"),
    path("sign-in/<slug:name>", providers.leave, name="sign-in-leave"),
    path("sign-in/<slug:name>/callback", providers.come_back, name="sign-in-callback"),
]
