"""Search: the passages of a corpus, their BM25 index, and a measure of what it finds for the questions of a study."""
