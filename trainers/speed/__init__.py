"""How the same numbers come sooner: the plan of a step, layers in faster forms, recomputation. Knows no data and no task."""
