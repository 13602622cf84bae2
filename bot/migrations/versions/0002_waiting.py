"""Indexes of what waits in the outbox, so that a look at it does not grow with what waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WAITING = "sent_at IS NULL AND failed IS NULL"
INDEXES = {
    "ix_outbox_lane_id": (["lane", "id"], WAITING),
    "ix_outbox_channel_lane_id": (["channel", "lane", "id"], WAITING),
    "ix_outbox_not_before_channel_lane": (["not_before", "channel", "lane"], WAITING),
    "ix_outbox_claimed_until": (["claimed_until"], f"{WAITING} AND claimed_until IS NOT NULL"),
}


def upgrade() -> None:
    """Create the indexes; SQLite would prefer the old one, which grows with all that was ever sent."""
    op.drop_index("ix_outbox_sent_at_lane_id", "outbox")
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, "outbox", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    """Remove them, and bring the old one back."""
    for name in reversed(INDEXES):
        op.drop_index(name, "outbox")
    op.create_index("ix_outbox_sent_at_lane_id", "outbox", ["sent_at", "lane", "id"])
