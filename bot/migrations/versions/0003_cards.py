"""An index of the messages that are cards or copies, so that finding one does not grow with the history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CARDS = sa.text("card IS NOT NULL")


def upgrade() -> None:
    """Create it over those rows only: what people write is none of them."""
    op.create_index("ix_messages_card", "messages", ["card"], sqlite_where=CARDS, postgresql_where=CARDS)


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_messages_card", "messages")
