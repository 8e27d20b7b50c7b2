"""Running exported networks: a file in, a callable from arrays to named arrays out; nothing here imports torch."""
