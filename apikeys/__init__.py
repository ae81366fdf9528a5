"""API keys: the whole life of a key, and the policy that bounds it."""
