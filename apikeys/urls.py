"""The addresses of the pages of API keys; the page of one key is composed in the portal."""

from django.urls import path

from apikeys import views

urlpatterns = [
    path("api-keys", views.api_keys, name="api-keys"),
    path("api-keys/create", views.api_key_create, name="api-key-create"),
    path("api-keys/<uuid:key_id>/block", views.api_key_block, name="api-key-block"),
    path("api-keys/<uuid:key_id>/delete", views.api_key_delete, name="api-key-delete"),
    path("api-keys/<uuid:key_id>/edit", views.api_key_edit, name="api-key-edit"),
    path("api-keys/<uuid:key_id>/end-old-secret", views.api_key_end_old_secret, name="api-key-end-old-secret"),
    path("api-keys/<uuid:key_id>/reset-spend", views.api_key_reset_spend, name="api-key-reset-spend"),
    path("api-keys/<uuid:key_id>/revoke", views.api_key_revoke, name="api-key-revoke"),
    path("api-keys/<uuid:key_id>/rotate", views.api_key_rotate, name="api-key-rotate"),
    path("api-keys/<uuid:key_id>/unblock", views.api_key_unblock, name="api-key-unblock"),
]
