"""Making something of runs that are there: comparing, promoting, gating, copying."""
