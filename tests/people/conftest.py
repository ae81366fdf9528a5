"""What the tests of people share: threads, and jobs that are carried out."""

from tests.litellm_sync.conftest import work
from tests.races import real_transactions

__all__ = ["real_transactions", "work"]
