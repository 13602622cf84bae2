"""The tests mirror the folders; `make test` runs them all."""

import os

# Asked for by `make test-all`: every scenario on every chat, more seeds, more examples, more kills. A usual run takes
# less of what is only more of the same.
EVERYTHING = os.environ.get("WATCHBELL_ALL") == "1"


def examples(count: int) -> int:
    """How many random examples a usual run tries of so many."""
    return count if EVERYTHING else count // 2
