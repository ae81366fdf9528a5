"""What the tests of this app share: threads with transactions of their own."""

from tests.races import real_transactions

__all__ = ["real_transactions"]
