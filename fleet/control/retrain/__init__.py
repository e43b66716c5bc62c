"""Retrainings in the database: opened by policies and people, done by workers, carried on to rollouts."""
