"""One file per outside thing: files, streams, devices."""
