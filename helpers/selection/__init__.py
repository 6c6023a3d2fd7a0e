"""Selection: which questions each arm trains on.

difficulty: labels from a filter's answers · rates: pass rates shrunk towards the pool · held_out: questions excluded from all arms ·
draws: the questions of each arm, one draw per seed or a fixed one · composition: their properties and the overlap between arms.
"""
