"""Who somebody is and what they may do: users, roles, tokens, the audit log."""
