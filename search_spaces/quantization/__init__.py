"""Numbers of few bits: formats, what is rounded to them, and networks that compute with them."""
