"""Episodes: what is inserted, what counts as the model's own, and how answers end, with a model that plays back scripts."""

import pytest
from scripted import IRON, TRAP, tool

from helpers.models import loading
from helpers.search import episodes
from helpers.search.corpus import Passage
from helpers.search.episodes import Turn, inserted, neutral, spans


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return loading.load_tokenizer("tiny/llama")


def played(tokenizer, scripts, made, limit=200, stops=(), **options):
    """Episodes in which the k-th answer goes on as the k-th script says, a text a turn; what an engine would not stop at is left in."""

    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    left = [list(script) for script in scripts]

    def write(texts, limits, rows):
        assert all(1 <= most <= limit for most in limits)
        return [Turn(encode(left[row].pop(0)), None) for row in rows]

    return episodes.run([[5, 6]] * len(scripts), write, made, tokenizer, limit=limit, ends=[0], stops=stops, **options)


def own_text(tokenizer, episode):
    return tokenizer.decode(
        [token for token, own in zip(episode.tokens, episode.own, strict=True) if own], skip_special_tokens=True
    )


def test_passages_follow_the_search_and_are_not_the_models_own(tokenizer):
    made, asked = tool()
    found, plain = played(
        tokenizer,
        [["I ask <search> iron\nmetal </search> and go on", "It is B.<|end|>more"], ["B<|end|>"]],
        made,
    )
    assert asked == ["iron metal"]
    assert (found.text, found.finish) == ("I ask <search> iron\nmetal </search>It is B.", "stop")
    assert found.searches[0]["ids"] == ["iron", "trap"]
    assert (plain.text, plain.searches, plain.own) == ("B", [], [1, 1])
    assert len(found.tokens) == len(found.own) == len(found.logprobs)
    assert own_text(tokenizer, found) == found.text
    whole = tokenizer.decode(found.tokens, skip_special_tokens=True)
    assert whole == "".join(piece for piece, _ in spans(found.text, found.record))
    assert [piece for piece, into in spans(found.text, found.record) if into] == [found.searches[0]["text"]]


def test_a_passage_holds_no_tag_no_special_token_and_no_next_turn(tokenizer):
    tokens, text, count = inserted([TRAP], "", 500, tokenizer)
    assert (count, 0 in tokens) == (1, False)
    body = text.removeprefix(episodes.OPEN).removesuffix(episodes.CLOSE)
    assert not any(tag in body for tag in ("</information>", "</think>", "<answer>", "<b>", "\nUser", "<|end|>"))
    assert text.count("</information>") == 1
    assert neutral("p < 0.05 and a<b") == "p < 0.05 and a< b"


@pytest.mark.parametrize("most", [64, 80, 200])
def test_inserted_text_has_at_most_its_tokens_and_closes_its_block(tokenizer, most):
    long = Passage("long", "Long", "word " * 5000, "", "")
    tokens, text, count = inserted([long, IRON], "", most, tokenizer)
    assert len(tokens) <= most
    assert text.startswith(episodes.OPEN)
    assert text.endswith(episodes.CLOSE)
    assert count == 1


def test_a_model_that_searches_forever_ends(tokenizer):
    made, asked = tool(searches=2)
    (found,) = played(tokenizer, [["<search>a</search>"] * 9], made, limit=1000)
    assert asked == ["a", "a"]
    assert [episodes.ENOUGH in one["text"] for one in found.searches] == [False, False, True]
    assert found.finish == "searches"
    assert found.own[-1] == 1


@pytest.mark.parametrize(
    ("written", "query", "notice"),
    [
        ("<search> \n </search>", "", episodes.EMPTY),
        ("no beginning</search>", "", episodes.EMPTY),
        ("<search>zinc</search>", "zinc", episodes.NOTHING),
        ("<search>" + "long " * 2000 + "</search>", ("long " * 2000)[:300], episodes.NOTHING),
        ("<search><b>a</b> & <search>b <i></search>", "b <i>", episodes.NOTHING),
    ],
)
def test_any_query_gets_an_answer(tokenizer, written, query, notice):
    made, _ = tool(passages=())
    (found,) = played(tokenizer, [[written, "so B<|end|>"]], made, limit=20_000)
    assert found.searches[0]["query"] == query
    assert notice in found.searches[0]["text"]
    assert found.finish == "stop"


def test_the_models_own_tokens_are_limited_and_so_is_the_room(tokenizer):
    made, _ = tool()
    length = len(tokenizer("<search>iron</search>")["input_ids"])
    (long,) = played(tokenizer, [["<search>iron</search>", "x" * 100]], made, limit=length + 5)
    assert (long.written, long.finish, len(long.searches)) == (length + 5, "length", 1)
    (spent,) = played(tokenizer, [["<search>iron</search>"]], made, limit=length)
    assert (spent.written, spent.finish, spent.searches) == (length, "length", [])
    (full,) = played(tokenizer, [["<search>iron</search>"]], made, limit=100, room=2 + length + 10)
    assert (full.finish, full.searches) == ("length", [])


def test_text_behind_a_stop_text_is_no_search(tokenizer):
    made, asked = tool()
    (found,) = played(tokenizer, [["B\nUser: <search>x</search>"]], made, stops=["\nUser"])
    assert (found.finish, asked) == ("stop", [])
    assert spans(found.text, "[]") == [(found.text, False)]
