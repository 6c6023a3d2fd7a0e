"""Selection: what a filter's answers say about difficulty, and which questions each arm draws."""
