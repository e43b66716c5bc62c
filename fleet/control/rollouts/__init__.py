"""Rollouts in the database: made and told to go on by people, carried forward by the engine."""
