"""From a data.yaml to batches."""
