"""The settings of a test run: the product's own, on the database of the run.

pytest-django loads settings before any conftest.py, so this is the one place early enough to start a database.
"""

import os

from tests import ending, postgres

ending.end_in_order()
postgres.provide()
# Processes that a test starts inherit these; with the development keys they would refuse to run.
os.environ.setdefault("SECRET_KEY", "the-secret-key-of-a-test-run-is-no-secret-at-all-but-long-enough")
os.environ.setdefault("ENCRYPTION_KEYS", "dGhlLWtleS1vZi1hLXRlc3QtcnVuLWlzLW5vLXNlY3I=")

from litemaas.settings import *  # noqa: E402, F403 -- they read the environment, which had to be set first

# People are made for nearly every test; scrypt would take most of the run. The product's own hasher stays second.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *PASSWORD_HASHERS]  # noqa: F405 -- as above
