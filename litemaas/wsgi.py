"""What a web server loads: the whole product as one WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

from litemaas.foundation import checks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "litemaas.settings")
application = get_wsgi_application()
checks.refuse_unsafe_settings()
