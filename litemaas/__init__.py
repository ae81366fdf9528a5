"""LiteMaaS: the self-service portal in front of a LiteLLM proxy."""

from typing import Final

VERSION: Final = "0.1.0"
