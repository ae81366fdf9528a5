"""The one way in which a form performs a verb: domain errors become messages on the form."""

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms

from litemaas.foundation.errors import DomainError

Result = TypeVar("Result")

# These are about the request or the world, not about what was typed: the middleware answers them.
NOT_ABOUT_THE_FORM = frozenset({401, 403, 404, 503})


def perform(form: forms.Form, verb: Callable[..., Result], *args: Any, **kwargs: Any) -> Result | None:
    """Run ``verb``; put a domain error onto its field of ``form`` and return None.

    A form whose fields are called otherwise than the verb's says by ``field_of`` which is meant. The view then renders
    the form again with status 422 and what was typed is kept.
    """
    try:
        return verb(*args, **kwargs)
    except DomainError as error:
        if error.status in NOT_ABOUT_THE_FORM:
            raise
        find = getattr(form, "field_of", None)
        field = find(error) if find else error.details.get("field")
        form.add_error(field if field in form.fields else None, str(error.message))
        return None
