"""Extensions: decisions for any space with a transform of its networks, one plug-in module each."""
