"""Search: passages of a corpus, the BM25 index over them, and a measure of what it finds for the questions of a study."""
