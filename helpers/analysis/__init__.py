"""Analysis: statistics of one comparison (intervals, power), the tables of a study (compare, indices, components, answers, mechanism), the
conclusions drawn from them (claims with evidence, roles and the positive control; checks), and plots.
"""
