"""Analysis: statistics of one comparison (intervals, power), tables of a study (compare, indices, components, answers, mechanism), what
follows from them (claims with evidence, roles and control; checks), and plots.
"""
