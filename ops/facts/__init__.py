"""The state that operations read; the same file names as in ``ops.operations``."""
