"""From a trained model to gated artifacts: ingest, passes, gates, search, report."""
