"""A fleet in virtual time: many small models of devices speak the wire's own bytes to the control plane's real parts."""
