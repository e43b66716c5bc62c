"""What crosses the wire: frozen records of the standard library only, read strictly and within bounds."""
