"""Training a deployed model again: from old data and new labels to artifacts that win on the new and keep the old."""
