"""The default team on LiteLLM's side, under the names that the service layer fixed."""

from litellm_sync import ensure
from litellm_sync.client import LiteLLM
from teams.models import Team
from teams.services import ensure_default_team


def ensure_default_team_exists(litellm: LiteLLM) -> Team:
    """The default team, here and in LiteLLM; it comes before any user there, for anybody's keys may carry it.

    A team that was pushed before is there: asking again with each user would cost a call for nothing.
    """
    team = ensure_default_team()
    if team.synced_at is None:
        ensure.ensure_team_exists_in_litellm(team, litellm)
    return team
