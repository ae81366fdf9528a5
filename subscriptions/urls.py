"""The addresses of the catalogue's and the subscriptions' pages."""

from django.urls import path

from subscriptions import views

urlpatterns = [
    path("models", views.models, name="models"),
    path("subscriptions", views.subscriptions, name="subscriptions"),
    path("subscriptions/create", views.subscription_create, name="subscription-create"),
    path("subscriptions/restrict", views.model_restrict, name="model-restrict"),
    path("subscriptions/<uuid:subscription_id>", views.subscription, name="subscription"),
    path("subscriptions/<uuid:subscription_id>/approve", views.subscription_approve, name="subscription-approve"),
    path("subscriptions/<uuid:subscription_id>/cancel", views.subscription_cancel, name="subscription-cancel"),
    path("subscriptions/<uuid:subscription_id>/deny", views.subscription_deny, name="subscription-deny"),
    path("subscriptions/<uuid:subscription_id>/review", views.subscription_review, name="subscription-review"),
    # A model's id may contain slashes, so nothing may follow it.
    path("models/<path:model_id>", views.model, name="model"),
]
