"""manage.py demo_data: give the demo's people subscriptions, keys and a little usage."""

from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand

from litemaas import demo

CALLS = 5


class Command(BaseCommand):
    """Idempotent: people who have subscriptions are left alone."""

    help = "Make the data of the demo."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make keys and call a model with each, so that there is something to see."""
        for issued in demo.make_data():
            model = issued.key.model_ids[0]
            answered = sum(self._call(issued.secret, model) for _ in range(CALLS))
            self.stdout.write(f"made the key {issued.key.name}, {answered} calls to {model}")

    def _call(self, secret: str, model: str) -> bool:
        body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
        headers = {"Authorization": f"Bearer {secret}"}
        try:
            url = f"{settings.LITELLM_API_URL}/chat/completions"
            return requests.post(url, json=body, headers=headers, timeout=10).ok
        except requests.RequestException:
            return False
