"""The command of each action, and an index of those that have run, so that the last runs are found at once."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

RAN = sa.text("state IN ('done', 'failed', 'unknown')")
INDEX = "ix_actions_target_command_number"


def upgrade() -> None:
    """Add the column, fill it from the log, and index those that have run."""
    op.add_column("actions", sa.Column("command", sa.Text(), nullable=False, server_default=""))
    _fill()
    op.create_index(INDEX, "actions", ["target", "command", "number"], sqlite_where=RAN, postgresql_where=RAN)


def _fill() -> None:
    connection = op.get_bind()
    actions = sa.table("actions", sa.column("number"), sa.column("command"))
    events = sa.table("events", sa.column("stream"), sa.column("version"), sa.column("body"))
    for (number,) in connection.execute(sa.select(actions.c.number)).all():
        first = sa.select(events.c.body).where(events.c.stream == f"action-{number}", events.c.version == 1)
        body = connection.execute(first).scalar()
        command = (json.loads(body).get("plan") or {}).get("command", "") if body else ""
        connection.execute(actions.update().where(actions.c.number == number).values(command=str(command)))


def downgrade() -> None:
    """Remove both."""
    op.drop_index(INDEX, "actions")
    op.drop_column("actions", "command")
