"""A file for each change, in the order of their numbers; what is released is never changed."""
