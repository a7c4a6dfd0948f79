"""Records and files on disk: atomic, versioned, content-addressed."""
