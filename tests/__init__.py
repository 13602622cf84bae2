"""The tests mirror the folders; `make test` runs them all."""

import os

# Asked for by `make test-all`: every scenario on every chat, longer stories, more kills. A usual run takes less of
# what is only more of the same, so that it ends within ten minutes.
EVERYTHING = os.environ.get("WATCHBELL_ALL") == "1"
