"""A bundle behind HTTP: `nas serve`. See docs/serving.md.

`running` opens the port; `app` has the endpoints; `bodies` and `answers` are the two forms of what
comes and goes, `graphs` checks and joins, `batching` says who is answered by the next forward,
`program` is the process of its own in which `elsewhere` runs it, over memory of `slots`.
"""
