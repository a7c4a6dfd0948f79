"""Parts that others bring: how they are declared, found, imported, and joined to the catalog; no torch of its own."""
