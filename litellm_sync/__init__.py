"""Our database says what should be true; this app makes LiteLLM agree, and brings back what only LiteLLM knows."""
