"""Best, stopping, keeping: facts in, decisions out."""
