"""The only place that says, for the type checker, what a request of somebody who is signed in is."""

from django.http import HttpRequest

from accounts.models import User


class SignedInRequest(HttpRequest):
    """What a view with a permission gets: the middleware has refused everybody else."""

    user: User
