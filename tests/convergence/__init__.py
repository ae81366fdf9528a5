"""Whether LiteLLM agrees with us in the end; what differs is to be seen, as in tests."""

import pytest

pytest.register_assert_rewrite("tests.convergence.agreement")
