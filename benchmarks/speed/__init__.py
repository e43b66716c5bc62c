"""How fast the program itself is, part by part, and how that grows."""
