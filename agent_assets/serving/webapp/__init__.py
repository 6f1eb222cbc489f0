"""The web app below `/app`: pages that are whole when they arrive, and small scripts of our own."""
