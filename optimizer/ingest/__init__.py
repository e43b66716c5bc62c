"""Reading trained models of every framework into the IR, with a parity check."""
