"""Runs the steps on the connection handed over by `bot.store.upgrade`; there is no ini file."""

from __future__ import annotations

from alembic import context

from bot.store_schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
