"""Alembic's way in: migrations run on the connection that Record.migrate hands over."""

from __future__ import annotations

from alembic import context

from enforcement_api.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
