"""The addresses of the pages that put several apps together."""

from django.urls import path

from litemaas.portal import views

urlpatterns = [
    path("", views.home, name="home"),
    path("theme", views.choose_theme, name="theme"),
    path("api-keys/<uuid:key_id>", views.api_key, name="api-key"),
]
