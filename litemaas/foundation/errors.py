"""The only place for the errors that a verb may raise; problems.py turns them into answers."""

from typing import Any

from django.utils.translation import gettext_lazy as _

Text = Any  # str or a lazy translation


class DomainError(Exception):
    """Something that a caller did or met which has a name, a status and words for people.

    ``code`` is stable and documented in docs/errors.md; ``details`` are data for scripts.
    ``details["field"]`` names the form field that the message belongs to.
    """

    code: str = "error"
    status: int = 400
    default_message: Text = _("The request could not be carried out.")

    def __init__(self, message: Text = None, *, code: str | None = None, **details: Any) -> None:
        self.message = message or self.default_message
        self.details = details
        if code:
            self.code = code
        super().__init__(str(self.message))


class Malformed(DomainError):
    """The request cannot be read at all (RFC 9110, 15.5.1)."""

    code = "malformed"
    default_message = _("The request could not be read.")


class NotAuthenticated(DomainError):
    """Nobody is signed in, or what was shown as proof is not valid."""

    code = "not_authenticated"
    status = 401
    default_message = _("Sign in first.")


class PermissionDenied(DomainError):
    """The actor sees the thing but may not do this to it."""

    code = "permission_denied"
    status = 403
    default_message = _("You are not allowed to do this.")


class NotFound(DomainError):
    """Absent and invisible things give the same answer."""

    code = "not_found"
    status = 404
    default_message = _("There is nothing here that you can see.")


class Conflict(DomainError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"
    status = 409
    default_message = _("This does not fit the present state.")


class TooLarge(DomainError):
    """The body is larger than any honest request."""

    code = "too_large"
    status = 413
    default_message = _("The request is too large.")


class Invalid(DomainError):
    """A value is wrong; ``details["field"]`` says which one."""

    code = "invalid"
    status = 422
    default_message = _("A value is not valid.")


class RateLimited(DomainError):
    """Too many tries; ``details["retry_after"]`` are the seconds to wait."""

    code = "rate_limited"
    status = 429
    default_message = _("Too many requests. Try again later.")


class QuotaExceeded(DomainError):
    """A number that somebody may have of something is used up."""

    code = "quota_exceeded"
    status = 409
    default_message = _("The limit is reached.")


class UpstreamUnavailable(DomainError):
    """LiteLLM is away, slow or broken: trying again later may work."""

    code = "litellm_unavailable"
    status = 503
    default_message = _("LiteLLM cannot be reached at the moment.")


class UpstreamRejected(DomainError):
    """LiteLLM understood and refused: trying again changes nothing."""

    code = "litellm_rejected"
    status = 502
    # LiteLLM's own words, for comparing and for the log; they are shown to nobody.
    text = ""
    default_message = _("LiteLLM refused this.")


class ProviderUnavailable(DomainError):
    """An identity provider is away, slow or answers nonsense; ``details["reason"]`` is for the log."""

    code = "provider_unavailable"
    status = 503
    default_message = _("The sign-in service cannot be reached at the moment.")


class DatabaseUnavailable(DomainError):
    """PostgreSQL is away."""

    code = "database_unavailable"
    status = 503
    default_message = _("The database cannot be reached at the moment. Try again shortly.")
