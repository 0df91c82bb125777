"""How architectures are drawn, without torch: `by_name`, and a module for each space, named as it,
whose decisions' names do not tell. It has `draw`, which is the space's `draw` as well."""
