"""What could spoil a training or its numbers, found in the data alone."""
