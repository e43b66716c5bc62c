"""What people are told of a model's drift, as records: the API answers with them, the page and the report's file draw them."""
