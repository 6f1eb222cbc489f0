"""The artifact store: complete, verified, content-addressed folders."""
