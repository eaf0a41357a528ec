"""Where the record lives: its tables, its migrations, and the transactions on it."""
