"""What the templates of the admin portal may use without loading it."""
