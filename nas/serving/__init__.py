"""A bundle behind HTTP: `nas serve`. See docs/serving.md.

`running` opens the port; `app` has the endpoints; `bodies` and `answers` are the two forms of what
comes and goes, `graphs` checks and joins, `batching` runs the program in a thread of its own.
"""
