"""Documents in the layouts of all data sets, for the tests of this folder."""

ABCD = {"A": "aspirin", "B": "biotin", "C": "codeine", "D": "digoxin"}
TEN = {letter: f"option {letter.lower()}" for letter in "ABCDEFGHIJ"}
DOCUMENTS = {  # every layout, right answer: the third option
    "mmlu": {"question": "Which?", "subject": "anatomy", "choices": list(ABCD.values()), "answer": 2},
    "cmmlu": {"Question": "哪个？", **ABCD, "Answer": "C"},
    "medmcqa": {"question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 2},
    "medqa": {"sent1": "Which?", "sent2": "", "ending0": "a", "ending1": "b", "ending2": "c", "ending3": "d", "label": 2},
    "gbaker": {"question": "Which?", "answer": "codeine", "options": ABCD, "answer_idx": "C"},
    "mmlu_pro": {"question": "Which?", "options": list(TEN.values()), "answer": "C", "answer_index": 2},
    "medxpertqa": {"question": "Which?\nAnswer Choices: (A) option a (B) option b", "options": TEN, "label": "C"},
    "medbullets": {"question": "Which?", "options": {**ABCD, "E": None}, "answer": "codeine", "answer_idx": "C"},
    "starter": {"question": "Which?", "options": ["a", "b", "c", "d"], "answer": "C", "target": 2},
}
PUBMEDQA = {"QUESTION": "Does it?", "CONTEXTS": ["One.", "Two."], "final_decision": "yes"}
GSM8K = {"question": "2 + 2?", "options": [], "answer": "4"}
