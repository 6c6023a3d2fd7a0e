"""Questions: the pools they come from, their ids, how one is put to a model and how an answer is read; the starter set."""
