"""How labels pass the operators, a family of them in each file, and what of a node changes when positions go."""
