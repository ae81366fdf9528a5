"""What administrators do with people that touches several apps: the API's face, and off-boarding."""
