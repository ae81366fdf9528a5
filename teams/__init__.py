"""Teams, memberships and the one way in which a person comes into being."""
