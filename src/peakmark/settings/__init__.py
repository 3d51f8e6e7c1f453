"""The user's wishes, typed and checked."""
