"""Both engines that the record runs on: a contract here is checked on each."""

from tests.postgres import postgres_database_url, postgres_url

__all__ = ["postgres_database_url", "postgres_url"]
