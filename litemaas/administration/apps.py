"""Says which admin site ``admin.register`` means."""

from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """Django's admin with our site; a string, because models are not loaded yet."""

    default_site = "litemaas.administration.site.AdminSite"
