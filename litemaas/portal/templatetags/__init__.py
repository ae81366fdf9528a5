"""What templates may use without loading it."""
