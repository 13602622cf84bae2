"""The first schema: the log, what goes in and out, and the tables that answer questions quickly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "events inbox outbox messages deadlines incidents actions locks alerts bindings".split()  # noqa: SIM905
)


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _log()
    _ways()
    _indexes()


def downgrade() -> None:
    """Remove every table, and all that was recorded."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _log() -> None:
    op.create_table(
        "events",
        sa.Column("position", _number(), autoincrement=False, nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sa.UniqueConstraint("stream", "version", name="uq_events_stream_version"),
    )


def _ways() -> None:
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text()),
        sa.PrimaryKeyConstraint("event_id", name="pk_inbox"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outbox",
        sa.Column("id", _number(), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("card", sa.Text()),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.Text()),
        sa.Column("claimed_until", sa.BigInteger()),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("failed", sa.Text()),
        sa.Column("message_id", sa.Text()),
        sa.Column("event_position", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_card", "outbox", ["card"])
    op.create_index("ix_outbox_sent_at_lane_id", "outbox", ["sent_at", "lane", "id"])
    op.create_table(
        "messages",
        sa.Column("id", _number(), autoincrement=True, nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text()),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("card", sa.Text()),
        sa.Column("position", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.UniqueConstraint(
            "platform", "channel", "message_id", name="uq_messages_platform_channel_message_id"
        ),
        sqlite_autoincrement=True,
    )


def _indexes() -> None:
    op.create_table(
        "deadlines",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_deadlines"),
    )
    op.create_index("ix_deadlines_due_at", "deadlines", ["due_at"])
    op.create_table(
        "incidents",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text()),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text()),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("private", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("group_key", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_incidents"),
    )
    for column in ("state", "channel", "group_key"):
        op.create_index(f"ix_incidents_{column}", "incidents", [column])
    op.create_table(
        "actions",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("incident", sa.Integer()),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text()),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_actions"),
    )
    for column in ("state", "incident", "target"):
        op.create_index(f"ix_actions_{column}", "actions", [column])
    op.create_table(
        "locks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name", name="pk_locks"),
    )
    op.create_table(
        "alerts",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", "fingerprint", "starts_at", name="pk_alerts"),
    )
    op.create_table(
        "bindings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_bindings"),
    )
