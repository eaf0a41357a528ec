"""A PostgreSQL server, for what only several writers at once can show."""

from tests.postgres import postgres_database_url, postgres_url

__all__ = ["postgres_database_url", "postgres_url"]
