"""The addresses of the pages that put several apps together."""

from django.urls import path

from litemaas.portal import key_page, views

urlpatterns = [
    path("", views.home, name="home"),
    path("theme", views.choose_theme, name="theme"),
    path("api-keys/<uuid:key_id>", key_page.api_key, name="api-key"),
    path("api-keys/<uuid:key_id>/retry", key_page.api_key_retry, name="api-key-retry"),
]
