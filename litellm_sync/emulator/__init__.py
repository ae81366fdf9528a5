"""A verified look-alike of the LiteLLM proxy: it knows only what a contract test has proved on a real one."""
