"""Plug-ins for tests: small, fast, and faulty on request."""
