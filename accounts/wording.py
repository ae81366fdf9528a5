"""The only place that says in people's words what the audit log records and what a permission allows."""

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

# Category of the audit log -> what it is about.
CATEGORIES: Final[dict[str, Any]] = {
    "apikey": _("API keys"),
    "audit": _("Audit log"),
    "identity": _("Signing in"),
    "membership": _("Teams"),
    "profile": _("Profile"),
    "session": _("Sessions"),
    "sign_in": _("Signing in"),
    "sign_out": _("Signing out"),
    "subscription": _("Subscriptions"),
    "sync": _("Synchronisation"),
    "token": _("Access tokens"),
    "user": _("Account"),
}

# Action of the audit log -> what happened; the thing itself stands beside it.
ACTIONS: Final[dict[str, Any]] = {
    "apikey.blocked": _("API key blocked"),
    "apikey.created": _("API key created"),
    "apikey.deleted": _("API key deleted"),
    "apikey.old_secret_ended": _("Old secret of an API key ended"),
    "apikey.revoked": _("API key revoked"),
    "apikey.rotated": _("API key rotated"),
    "apikey.spend_reset": _("Spend of an API key reset"),
    "apikey.unblocked": _("API key unblocked"),
    "apikey.updated": _("API key changed"),
    "audit.exported": _("Audit log downloaded"),
    "audit.verified": _("Audit log verified"),
    "identity.linked": _("Account linked to a sign-in service"),
    "identity.unlinked": _("Account unlinked from a sign-in service"),
    "key_policy.changed": _("Key policy changed"),
    "membership.added": _("Joined a team"),
    "membership.removed": _("Left a team"),
    "model.changed": _("Model changed"),
    "models.synced": _("Models synchronised"),
    "profile.changed": _("Profile changed"),
    "push.retried": _("Tried again on LiteLLM"),
    "session.ended": _("Session ended"),
    "sign_in.failed": _("Sign-in failed"),
    "sign_in.succeeded": _("Signed in"),
    "sign_out.succeeded": _("Signed out"),
    "subscription.approved": _("Subscription approved"),
    "subscription.cancelled": _("Subscription cancelled"),
    "subscription.created": _("Subscribed"),
    "subscription.denied": _("Subscription denied"),
    "subscription.review_requested": _("Review of a denial requested"),
    "sync.requested": _("Synchronisation asked for"),
    "team.created": _("Team created"),
    "token.created": _("Access token created"),
    "token.refused": _("Access token refused"),
    "token.revoked": _("Access token ended"),
    "user.created": _("Account created"),
    "user.deactivated": _("Account deactivated"),
    "user.email_changed": _("E-mail address changed"),
    "user.limits_changed": _("Limits changed"),
    "user.offboarded": _("Off-boarded"),
    "user.reactivated": _("Account reactivated"),
    "user.roles_changed": _("Roles changed"),
}

# Permission -> what it lets one do.
PERMISSIONS: Final[dict[str, Any]] = {
    "admin.read": _("look at the administration"),
    "apikeys.block": _("block and unblock API keys"),
    "apikeys.create": _("create API keys"),
    "apikeys.read": _("see API keys"),
    "apikeys.revoke": _("revoke API keys"),
    "apikeys.update": _("change API keys"),
    "audit.read": _("read the audit log"),
    "integration.read": _("see the synchronisation with LiteLLM"),
    "integration.sync": _("start the synchronisation with LiteLLM"),
    "key_policy.read": _("read the policy for keys"),
    "key_policy.write": _("change the policy for keys"),
    "models.read": _("look at the models"),
    "models.write": _("say which models need approval"),
    "profile.read": _("see profiles"),
    "profile.write": _("change profiles"),
    "sessions.end": _("end sessions"),
    "subscriptions.approve": _("approve and deny subscriptions"),
    "subscriptions.cancel": _("cancel subscriptions"),
    "subscriptions.create": _("subscribe to models"),
    "subscriptions.read": _("see subscriptions"),
    "teams.read": _("see teams"),
    "tokens.create": _("make access tokens for scripts"),
    "tokens.read": _("see access tokens"),
    "tokens.revoke": _("revoke access tokens"),
    "usage.read": _("see usage and cost"),
    "users.create": _("add people"),
    "users.deactivate": _("deactivate and reactivate people"),
    "users.grant": _("give people roles"),
    "users.link": _("link people to sign-in services, and unlink them"),
    "users.offboard": _("off-board people"),
    "users.read": _("see people"),
    "users.update": _("change people's limits"),
}


def allowed(names: list[str]) -> list[Any]:
    """What the permissions of these names let one do; a name without words stands for itself."""
    return [PERMISSIONS.get(name, name) for name in names]
