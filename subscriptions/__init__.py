"""The catalogue of models and who subscribed to which."""
