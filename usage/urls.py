"""The address of the usage page."""

from django.urls import path

from usage import views

urlpatterns = [path("usage", views.usage, name="usage")]
