"""What a web server loads: the whole product as one WSGI application."""

import gc
import os

from django.core.wsgi import get_wsgi_application

from litemaas.foundation import checks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "litemaas.settings")
application = get_wsgi_application()
checks.refuse_unsafe_settings()

# What is loaded by now lives as long as the process: the collector need not go through it again and again, nor look for
# cycles after each 700 new objects, which one answer makes several times over.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
