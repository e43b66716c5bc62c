"""The page: what people see of the fleet, rendered on the server."""
