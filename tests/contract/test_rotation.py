"""What carrying spend over from an old key to a new one rests on."""

from tests.contract.proxy import Proxy


def test_a_key_begins_with_spend_and_says_from_where(litellm: Proxy) -> None:
    marks = {"an_older_one": {"spend": "1.5", "resets_at": None}}
    key = litellm.key(litellm.new_key(spend=1.5, metadata={"a": 1, "included": marks}).token)
    assert (key["spend"], key["metadata"]) == (1.5, {"a": 1, "included": marks})


def test_spend_and_metadata_are_set_together(litellm: Proxy) -> None:
    made = litellm.new_key(spend=1.5, metadata={"a": 1})
    marks = {"an_older_one": {"spend": "2.25", "resets_at": "2026-12-01T00:00:00+00:00"}}
    litellm.done("/key/update", {"key": made.token, "spend": 2.25, "metadata": {"a": 1, "included": marks}})
    key = litellm.key(made.token)
    assert (key["spend"], key["metadata"]) == (2.25, {"a": 1, "included": marks})
    litellm.done("/key/update", {"key": made.token, "spend": 0, "metadata": {"a": 1}})
    key = litellm.key(made.token)
    assert (key["spend"], key["metadata"]) == (0, {"a": 1})


def test_spend_that_was_set_goes_on_growing(litellm: Proxy) -> None:
    made = litellm.new_key(models=["gpt-4o"])
    litellm.done("/key/update", {"key": made.token, "spend": 3})
    assert litellm.chat(made).status == 200
    grown = litellm.eventually(lambda: litellm.key(made.token)["spend"], lambda spend: spend > 3)
    assert 3 < grown < 3.1


def test_a_blocked_key_still_says_what_it_spent(litellm: Proxy) -> None:
    made = litellm.new_key(models=["gpt-4o"])
    assert litellm.chat(made).status == 200
    litellm.done("/key/block", {"key": made.token})
    assert litellm.chat(made).status == 401
    assert litellm.eventually(lambda: litellm.key(made.token)["spend"], lambda spend: spend > 0) < 0.1
