"""The only place that lists the fields of LiteLLM's rows and answers."""

import copy
from typing import Any, Final

from litellm_sync.emulator.tables import Row

_USER: Final[Row] = {
    "verified_subjects": None,
    "user_id": None,
    "user_alias": None,
    "team_id": None,
    "sso_user_id": None,
    "organization_id": None,
    "object_permission_id": None,
    "password_reset_required": None,
    "last_breach_check_at": None,
    "teams": [],
    "user_role": None,
    "max_budget": None,
    "spend": 0.0,
    "user_email": None,
    "models": [],
    "metadata": {},
    "max_parallel_requests": None,
    "tpm_limit": None,
    "rpm_limit": None,
    "budget_duration": None,
    "budget_reset_at": None,
    "allowed_cache_controls": [],
    "policies": [],
    "model_spend": {},
    "model_max_budget": {},
    "created_at": None,
    "updated_at": None,
    "litellm_organization_table": None,
    "organization_memberships": [],
    "invitations_created": None,
    "invitations_updated": None,
    "invitations_user": None,
    "object_permission": None,
}
_TEAM: Final[Row] = {
    "team_alias": None,
    "team_id": None,
    "organization_id": None,
    "admins": [],
    "members": [],
    "members_with_roles": [],
    "team_member_permissions": [],
    "metadata": {},
    "tpm_limit": None,
    "rpm_limit": None,
    "tpd_limit": None,
    "max_budget": None,
    "soft_budget": None,
    "budget_duration": None,
    "budget_limits": None,
    "models": [],
    "blocked": False,
    "router_settings": {},
    "access_group_ids": [],
    "default_team_member_models": [],
    "spend": 0.0,
    "max_parallel_requests": None,
    "budget_reset_at": None,
    "model_id": None,
    "model_spend": {},
    "model_max_budget": {},
    "policies": [],
    "allow_team_guardrail_config": False,
    "litellm_model_table": None,
    "object_permission": None,
    "object_permission_id": None,
    "updated_at": None,
    "created_at": None,
}
_KEY: Final[Row] = {
    "token": None,
    "key_name": None,
    "key_alias": None,
    "soft_budget_cooldown": False,
    "spend": 0.0,
    "total_spend": 0.0,
    "expires": None,
    "models": [],
    "aliases": {},
    "config": {},
    "router_settings": {},
    "user_id": None,
    "team_id": None,
    "agent_id": None,
    "project_id": None,
    "permissions": {},
    "max_parallel_requests": None,
    "metadata": {},
    "blocked": None,
    "tpm_limit": None,
    "rpm_limit": None,
    "tpd_limit": None,
    "max_budget": None,
    "budget_duration": None,
    "budget_reset_at": None,
    "allowed_cache_controls": [],
    "allowed_routes": [],
    "key_type": "default",
    "policies": [],
    "access_group_ids": [],
    "model_spend": {},
    "model_max_budget": {},
    "budget_fallbacks": {},
    "budget_id": None,
    "organization_id": None,
    "object_permission_id": None,
    "created_at": None,
    "created_by": "default_user_id",
    "updated_at": None,
    "updated_by": "default_user_id",
    "settings_updated_at": None,
    "last_active": None,
    "rotation_count": 0,
    "auto_rotate": False,
    "rotation_interval": None,
    "last_rotation_at": None,
    "key_rotation_at": None,
    "budget_limits": None,
    "litellm_budget_table": None,
    "litellm_organization_table": None,
    "litellm_project_table": None,
    "object_permission": None,
    "jwt_key_mappings": None,
}
_MEMBERSHIP: Final[Row] = {
    "user_id": None,
    "team_id": None,
    "budget_id": None,
    "spend": 0.0,
    "total_spend": 0.0,
    "litellm_budget_table": None,
}
_KEY_ANSWER_ONLY: Final[Row] = {
    "duration": None,
    "model_rpm_limit": None,
    "model_tpm_limit": None,
    "guardrails": None,
    "policies": None,
    "prompts": None,
    "tags": None,
    "enforced_params": None,
    "allowed_passthrough_routes": None,
    "end_user_budget_id": None,
}
_KEY_ROW_ONLY: Final = {
    *("soft_budget_cooldown", "total_spend", "model_spend", "object_permission_id", "settings_updated_at"),
    *("last_active", "rotation_count", "auto_rotate", "rotation_interval", "last_rotation_at", "key_rotation_at"),
    *("litellm_organization_table", "litellm_project_table", "jwt_key_mappings", "budget_reset_at"),
}
_NEWER_FIELDS: Final = {
    *("verified_subjects", "password_reset_required", "last_breach_check_at", "tpd_limit", "total_spend", "key_type"),
    *("agent_id", "budget_limits", "budget_fallbacks", "default_team_member_models"),
    *("settings_updated_at", "jwt_key_mappings", "end_user_budget_id"),
}

_NEWER_TEAM_FIELDS: Final = {"allow_team_guardrail_config", "model_max_budget", "model_spend", "policies"}


def new_user(**fields: Any) -> Row:
    """Return a row of the user table."""
    return copy.deepcopy(_USER) | fields


def new_team(**fields: Any) -> Row:
    """Return a row of the team table."""
    return copy.deepcopy(_TEAM) | fields


def new_key(**fields: Any) -> Row:
    """Return a row of the key table."""
    return copy.deepcopy(_KEY) | fields


def new_membership(**fields: Any) -> Row:
    """Return a row that ties a user to a team."""
    return copy.deepcopy(_MEMBERSHIP) | fields


def team_without_newer_fields(row: Row) -> Row:
    """Return the team as a release shows it that did not have those fields yet."""
    return {name: value for name, value in without_newer_fields(row).items() if name not in _NEWER_TEAM_FIELDS}


def without_newer_fields(row: Row) -> Row:
    """Return the row as a release shows it that did not have those fields yet."""
    return {name: value for name, value in row.items() if name not in _NEWER_FIELDS}


def generated_key(row: Row, secret: str) -> Row:
    """Return the answer to making a key, the only one that holds the secret."""
    shown = {name: value for name, value in row.items() if name not in _KEY_ROW_ONLY}
    return shown | _KEY_ANSWER_ONLY | {"key": secret, "token": row["token"], "token_id": row["token"]}
