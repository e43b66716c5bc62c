"""Training on the IR: the interpreter of a graph as a torch module, and the loop that trains it."""
