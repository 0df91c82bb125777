"""One file a version of the tables: its number, the one before, and how to get there."""
