"""What Understudy keeps: tables, migrations, the durable log writer, typed repositories.

Owns the database, SQLite or PostgreSQL. Does not own what the rows mean to the rest.
"""
