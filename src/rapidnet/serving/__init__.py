"""The same bundle behind HTTP: the server, and the demo on a phone. Nothing that answers requests imports torch."""
