"""The floor: what every app stands on; it imports nothing of ours."""
