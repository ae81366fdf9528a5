"""The addresses of the catalogue's and the subscriptions' pages."""

from django.urls import path

from subscriptions import views

urlpatterns = [
    path("models", views.models, name="models"),
    path("subscriptions", views.subscriptions, name="subscriptions"),
    path("subscriptions/create", views.subscription_create, name="subscription-create"),
    path("subscriptions/<uuid:subscription_id>/cancel", views.subscription_cancel, name="subscription-cancel"),
    # A model's id may contain slashes, so nothing may follow it.
    path("models/<path:model_id>", views.model, name="model"),
]
