"""Who gets what from every address: one table, which test_access.py compares with real answers.

Everything with an owner belongs to Ada. Eve is a stranger to it, Ro an administrator who may only read, Ann an
administrator. 302 is the way to the sign-in page for the anonymous, and success for forms.
"""

from typing import Final, NamedTuple


class Answers(NamedTuple):
    """The status for each person."""

    anonymous: int
    eve: int
    ada: int
    ro: int
    ann: int


MATRIX: Final[dict[tuple[str, str], Answers]] = {
    # --- Machines ---
    ("GET", "/healthz/live"): Answers(200, 200, 200, 200, 200),
    ("GET", "/healthz/ready"): Answers(200, 200, 200, 200, 200),
    ("GET", "/metrics"): Answers(401, 401, 401, 401, 401),  # for whoever knows METRICS_TOKEN
    # --- Pages ---
    ("GET", "/"): Answers(302, 200, 200, 200, 200),
    ("GET", "/api-keys"): Answers(302, 200, 200, 200, 200),
    ("GET", "/api-keys/<uuid:key_id>"): Answers(302, 404, 200, 200, 200),
    ("GET", "/api-keys/<uuid:key_id>/block"): Answers(302, 403, 403, 403, 200),
    ("POST", "/api-keys/<uuid:key_id>/block"): Answers(401, 403, 403, 403, 302),
    ("GET", "/api-keys/<uuid:key_id>/delete"): Answers(302, 404, 200, 403, 200),
    ("POST", "/api-keys/<uuid:key_id>/delete"): Answers(401, 404, 302, 403, 302),  # Ada's third key, revoked
    ("GET", "/api-keys/<uuid:key_id>/edit"): Answers(302, 404, 200, 403, 200),
    ("POST", "/api-keys/<uuid:key_id>/edit"): Answers(401, 404, 302, 403, 302),
    ("GET", "/api-keys/<uuid:key_id>/end-old-secret"): Answers(302, 404, 200, 403, 200),
    ("POST", "/api-keys/<uuid:key_id>/end-old-secret"): Answers(401, 404, 302, 403, 302),
    ("GET", "/api-keys/<uuid:key_id>/reset-spend"): Answers(302, 403, 403, 403, 200),
    ("POST", "/api-keys/<uuid:key_id>/reset-spend"): Answers(401, 403, 403, 403, 302),
    ("POST", "/api-keys/<uuid:key_id>/retry"): Answers(401, 403, 403, 403, 302),
    ("GET", "/api-keys/<uuid:key_id>/revoke"): Answers(302, 404, 200, 403, 200),
    ("POST", "/api-keys/<uuid:key_id>/revoke"): Answers(401, 404, 302, 403, 302),
    ("GET", "/api-keys/<uuid:key_id>/rotate"): Answers(302, 404, 200, 403, 403),  # nobody but the owner
    ("POST", "/api-keys/<uuid:key_id>/rotate"): Answers(401, 404, 200, 403, 403),
    ("GET", "/api-keys/<uuid:key_id>/unblock"): Answers(302, 403, 403, 403, 200),
    ("POST", "/api-keys/<uuid:key_id>/unblock"): Answers(401, 403, 403, 403, 302),  # Ada's second key, blocked
    ("GET", "/api-keys/create"): Answers(302, 200, 200, 403, 200),
    ("POST", "/api-keys/create"): Answers(401, 422, 200, 403, 422),  # Eve and Ann have subscribed to nothing
    ("POST", "/language"): Answers(302, 302, 302, 302, 302),
    ("GET", "/models"): Answers(302, 200, 200, 200, 200),
    ("GET", "/models/<path:model_id>"): Answers(302, 200, 200, 200, 200),
    ("GET", "/profile"): Answers(302, 200, 200, 200, 200),
    ("POST", "/profile"): Answers(401, 302, 302, 403, 302),
    ("GET", "/profile/activity"): Answers(302, 200, 200, 200, 200),
    ("POST", "/profile/language"): Answers(401, 302, 302, 403, 302),
    ("GET", "/profile/sessions"): Answers(302, 200, 200, 200, 200),
    # One's own alone, whatever the role: whoever lost a computer must be able to lock it out.
    ("POST", "/profile/sessions/<uuid:sign_in_id>/end"): Answers(401, 404, 302, 404, 404),
    ("POST", "/profile/sessions/end-others"): Answers(401, 302, 302, 302, 302),
    ("GET", "/profile/tokens"): Answers(302, 200, 200, 200, 200),
    ("GET", "/profile/tokens/<uuid:token_id>/revoke"): Answers(302, 404, 200, 403, 404),
    ("POST", "/profile/tokens/<uuid:token_id>/revoke"): Answers(401, 404, 302, 403, 404),
    ("GET", "/profile/tokens/create"): Answers(302, 200, 200, 403, 200),
    ("POST", "/profile/tokens/create"): Answers(401, 200, 200, 403, 200),  # the answer shows the token
    ("GET", "/sign-in"): Answers(200, 302, 302, 302, 302),
    ("POST", "/sign-in"): Answers(401, 302, 302, 302, 302),
    ("POST", "/sign-out"): Answers(401, 302, 302, 302, 302),
    ("GET", "/sign-in/<slug:name>"): Answers(302, 302, 302, 302, 302),
    ("GET", "/sign-in/<slug:name>/callback"): Answers(400, 400, 400, 400, 400),  # that nobody began
    ("GET", "/signed-out"): Answers(302, 302, 302, 302, 302),
    ("GET", "/subscriptions"): Answers(302, 200, 200, 200, 200),
    # Where only a form is sent to: whoever reloads its answer is led to the page that it belongs to.
    ("GET", "/subscriptions/create"): Answers(302, 302, 302, 403, 302),
    ("POST", "/subscriptions/create"): Answers(401, 302, 302, 403, 302),
    ("GET", "/subscriptions/<uuid:subscription_id>"): Answers(302, 404, 200, 200, 200),
    ("GET", "/subscriptions/<uuid:subscription_id>/approve"): Answers(302, 403, 403, 403, 302),
    ("POST", "/subscriptions/<uuid:subscription_id>/approve"): Answers(401, 403, 403, 403, 302),
    ("GET", "/subscriptions/<uuid:subscription_id>/cancel"): Answers(302, 404, 200, 403, 200),
    ("POST", "/subscriptions/<uuid:subscription_id>/cancel"): Answers(401, 404, 302, 403, 302),
    ("GET", "/subscriptions/<uuid:subscription_id>/deny"): Answers(302, 403, 403, 403, 200),
    ("POST", "/subscriptions/<uuid:subscription_id>/deny"): Answers(401, 403, 403, 403, 302),
    ("GET", "/subscriptions/<uuid:subscription_id>/review"): Answers(302, 404, 302, 403, 302),
    # Only the owner asks again, so Ann may not either.
    ("POST", "/subscriptions/<uuid:subscription_id>/review"): Answers(401, 404, 302, 403, 403),
    ("GET", "/subscriptions/restrict"): Answers(302, 403, 403, 403, 302),
    ("POST", "/subscriptions/restrict"): Answers(401, 403, 403, 403, 302),
    ("POST", "/theme"): Answers(302, 302, 302, 302, 302),
    ("GET", "/usage"): Answers(302, 200, 200, 200, 200),
    # --- API: tokens, the own profile, the audit log ---
    ("POST", "/api/v1/auth/token"): Answers(401, 401, 401, 401, 401),  # with a wrong password
    ("POST", "/api/v1/auth/token/refresh"): Answers(401, 401, 401, 401, 401),
    ("POST", "/api/v1/auth/token/revoke"): Answers(401, 401, 401, 401, 401),
    ("GET", "/api/v1/auth/token/claims"): Answers(401, 200, 200, 200, 200),
    ("GET", "/api/v1/me"): Answers(401, 200, 200, 200, 200),
    ("PATCH", "/api/v1/me"): Answers(401, 200, 200, 403, 200),
    ("GET", "/api/v1/me/activity"): Answers(401, 200, 200, 200, 200),
    ("GET", "/api/v1/me/sessions"): Answers(401, 200, 200, 200, 200),
    ("DELETE", "/api/v1/me/sessions"): Answers(401, 204, 204, 204, 204),
    ("DELETE", "/api/v1/me/sessions/<uuid:pk>"): Answers(401, 404, 204, 404, 404),
    ("GET", "/api/v1/me/tokens"): Answers(401, 200, 200, 200, 200),
    ("POST", "/api/v1/me/tokens"): Answers(401, 201, 201, 403, 201),
    ("DELETE", "/api/v1/me/tokens/<uuid:pk>"): Answers(401, 404, 204, 403, 204),
    ("GET", "/api/v1/audit"): Answers(401, 403, 403, 200, 200),
    # --- API: models and subscriptions ---
    ("GET", "/api/v1/models"): Answers(401, 200, 200, 200, 200),
    ("GET", "/api/v1/models/<path:pk>"): Answers(401, 200, 200, 200, 200),
    ("PATCH", "/api/v1/models/<path:pk>"): Answers(401, 403, 403, 403, 200),
    ("GET", "/api/v1/subscriptions"): Answers(401, 200, 200, 200, 200),
    ("POST", "/api/v1/subscriptions"): Answers(401, 201, 201, 403, 201),
    ("GET", "/api/v1/subscriptions/<uuid:pk>"): Answers(401, 404, 200, 200, 200),
    ("DELETE", "/api/v1/subscriptions/<uuid:pk>"): Answers(401, 404, 204, 403, 204),
    ("POST", "/api/v1/subscriptions/<uuid:pk>/approve"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/subscriptions/<uuid:pk>/deny"): Answers(401, 403, 403, 403, 200),
    ("GET", "/api/v1/subscriptions/<uuid:pk>/history"): Answers(401, 404, 200, 200, 200),
    ("POST", "/api/v1/subscriptions/<uuid:pk>/request-review"): Answers(401, 404, 200, 403, 403),  # only the owner
    ("POST", "/api/v1/subscriptions/bulk"): Answers(401, 403, 403, 403, 200),
    # --- API: keys ---
    ("GET", "/api/v1/api-keys"): Answers(401, 200, 200, 200, 200),
    ("POST", "/api/v1/api-keys"): Answers(401, 422, 201, 403, 422),  # Eve and Ann have subscribed to nothing
    ("GET", "/api/v1/api-keys/<uuid:pk>"): Answers(401, 404, 200, 200, 200),
    ("DELETE", "/api/v1/api-keys/<uuid:pk>"): Answers(401, 404, 204, 403, 204),  # Ada's third key, revoked
    ("PATCH", "/api/v1/api-keys/<uuid:pk>"): Answers(401, 404, 200, 403, 200),
    ("POST", "/api/v1/api-keys/<uuid:pk>/block"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/api-keys/<uuid:pk>/end-old-secret"): Answers(401, 404, 200, 403, 200),
    ("POST", "/api/v1/api-keys/<uuid:pk>/reset-spend"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/api-keys/<uuid:pk>/revoke"): Answers(401, 404, 200, 403, 200),
    ("POST", "/api/v1/api-keys/<uuid:pk>/rotate"): Answers(401, 404, 201, 403, 403),  # nobody but the owner
    ("POST", "/api/v1/api-keys/<uuid:pk>/unblock"): Answers(401, 403, 403, 403, 200),  # Ada's second key, blocked
    ("GET", "/api/v1/api-keys/bulk-changes"): Answers(401, 403, 403, 200, 200),
    ("POST", "/api/v1/api-keys/bulk-changes"): Answers(401, 403, 403, 403, 201),
    ("GET", "/api/v1/api-keys/bulk-changes/<uuid:pk>"): Answers(401, 403, 403, 200, 200),
    ("GET", "/api/v1/api-keys/bulk-changes/<uuid:pk>/keys"): Answers(401, 403, 403, 200, 200),
    ("POST", "/api/v1/api-keys/bulk-changes/<uuid:pk>/start"): Answers(401, 403, 403, 403, 202),
    ("POST", "/api/v1/api-keys/bulk-changes/<uuid:pk>/stop"): Answers(401, 403, 403, 403, 200),
    ("GET", "/api/v1/api-keys/hygiene"): Answers(401, 403, 403, 200, 200),
    ("POST", "/api/v1/api-keys/validate"): Answers(401, 200, 200, 403, 200),  # of Ada's key Eve learns nothing
    ("GET", "/api/v1/api-keys/policy"): Answers(401, 200, 200, 200, 200),
    ("PUT", "/api/v1/api-keys/policy"): Answers(401, 403, 403, 403, 200),
    # --- API: usage ---
    ("GET", "/api/v1/usage/breakdown"): Answers(401, 200, 200, 200, 200),
    ("GET", "/api/v1/usage/export"): Answers(401, 200, 200, 200, 200),
    ("GET", "/api/v1/usage/summary"): Answers(401, 200, 200, 200, 200),
    ("GET", "/api/v1/usage/timeseries"): Answers(401, 200, 200, 200, 200),
    # --- API: people ---
    ("GET", "/api/v1/users"): Answers(401, 403, 403, 200, 200),
    ("POST", "/api/v1/users"): Answers(401, 403, 403, 403, 201),
    ("GET", "/api/v1/users/<uuid:pk>"): Answers(401, 403, 403, 200, 200),
    ("PATCH", "/api/v1/users/<uuid:pk>"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/users/<uuid:pk>/identities"): Answers(401, 403, 403, 403, 201),
    ("DELETE", "/api/v1/users/<uuid:pk>/identities/<int:identity>"): Answers(401, 403, 403, 403, 204),
    ("POST", "/api/v1/users/<uuid:pk>/offboard"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/users/bulk-limits"): Answers(401, 403, 403, 403, 200),
    # --- API: LiteLLM ---
    ("GET", "/api/v1/integration/audit"): Answers(401, 403, 403, 200, 200),
    ("GET", "/api/v1/integration/default-team"): Answers(401, 403, 403, 200, 200),
    ("GET", "/api/v1/integration/drift"): Answers(401, 403, 403, 200, 200),
    ("GET", "/api/v1/integration/drift/<uuid:pk>"): Answers(401, 403, 403, 200, 200),
    ("POST", "/api/v1/integration/drift/<uuid:pk>/adopt"): Answers(401, 403, 403, 403, 201),
    ("POST", "/api/v1/integration/drift/<uuid:pk>/block"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/integration/drift/<uuid:pk>/mend"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/integration/drift/<uuid:pk>/unblock"): Answers(401, 403, 403, 403, 200),
    ("GET", "/api/v1/integration/failures"): Answers(401, 403, 403, 200, 200),
    ("GET", "/api/v1/integration/health"): Answers(401, 403, 403, 200, 200),
    ("GET", "/api/v1/integration/runs"): Answers(401, 403, 403, 200, 200),
    ("GET", "/api/v1/integration/runs/<uuid:pk>"): Answers(401, 403, 403, 200, 200),
    ("GET", "/api/v1/integration/schedule"): Answers(401, 403, 403, 200, 200),
    ("PUT", "/api/v1/integration/schedule/<slug:kind>"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/integration/retry"): Answers(401, 403, 403, 403, 200),
    ("POST", "/api/v1/integration/sync"): Answers(401, 403, 403, 403, 202),
    # --- API: itself ---
    ("GET", "/api/v1/docs"): Answers(401, 200, 200, 200, 200),
    ("GET", "/api/v1/schema"): Answers(401, 200, 200, 200, 200),
}

# --- The admin portal: its addresses follow from its tables and their verbs ---

READING = Answers(302, 403, 403, 200, 200)
ASKING = Answers(302, 403, 403, 403, 200)
DOING = Answers(401, 403, 403, 403, 302)

# Every table, with the verbs for a row, whether they are for many rows too, and what its list offers besides.
ADMIN_TABLES: Final[dict[str, tuple[tuple[str, ...], bool, tuple[str, ...]]]] = {
    "accounts/auditevent": ((), False, ()),
    "accounts/browsersession": (("end",), False, ()),
    "accounts/failedsignin": ((), False, ()),
    "accounts/personaltoken": (("revoke",), False, ()),
    "accounts/refreshfamily": ((), False, ()),
    "accounts/user": (
        ("assign", "deactivate", "limits", "link", "offboard", "reactivate", "retry", "roles", "unlink"),
        True,
        ("add",),
    ),
    "apikeys/apikey": (
        ("block", "delete", "edit", "end-old-secret", "reset-spend", "retry", "revoke", "unblock"),
        True,
        (),
    ),
    "apikeys/bulkchange": (("start", "stop"), False, ("plan",)),
    "apikeys/bulkchangekey": ((), False, ()),
    "apikeys/keypolicy": (("edit",), False, ()),
    "litellm_sync/drift": (("adopt", "block", "mend", "unblock"), True, ("mend-all",)),
    "litellm_sync/syncrun": (("confirm",), False, ("start",)),
    "procrastinate/procrastinatejob": ((), False, ()),
    "subscriptions/model": (("open", "restrict"), True, ()),
    "subscriptions/subscription": (("approve", "deny"), True, ()),
    "teams/membership": (("retry",), True, ()),
    "teams/team": (("migrate", "retry"), True, ()),
    "usage/dailyusage": ((), False, ()),
    "usage/usageday": ((), False, ()),
}


def _admin() -> dict[tuple[str, str], Answers]:
    rows = {
        ("GET", "/admin/"): READING,
        ("GET", "/admin/accounts/auditevent/export/"): READING,
        ("GET", "/admin/integration/"): READING,
        ("GET", "/admin/integration/schedule/"): ASKING,
        ("GET", "/admin/jsi18n/"): READING,
        ("POST", "/admin/integration/schedule/"): DOING,
        ("POST", "/admin/retry/"): DOING,
        ("POST", "/admin/sync/<slug:what>/"): DOING,
    }
    for table, (verbs, bulk, list_verbs) in ADMIN_TABLES.items():
        rows |= {("GET", f"/admin/{table}/{page}"): READING for page in ("", "<path:object_id>/change/")}
        if bulk:
            rows["POST", f"/admin/{table}/"] = DOING
        for page in (*list_verbs, *(f"<path:object_id>/{verb}" for verb in verbs)):
            rows |= {("GET", f"/admin/{table}/{page}/"): ASKING, ("POST", f"/admin/{table}/{page}/"): DOING}
    return rows


MATRIX.update(_admin())
