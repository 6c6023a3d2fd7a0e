"""Selection: which questions each arm trains on.

difficulty: labels of a filter's answers · rates: pass rates shrunk towards the pool · held_out: questions that no arm may draw ·
draws: the arms' questions, one draw per seed or a fixed one · composition: what they are like and what arms share.
"""
