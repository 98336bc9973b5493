import re
from datetime import date
from importlib.resources import files

import pytest

from understudy.brains.base import Usage
from understudy.brains.prices import FREE, Price, PricesError, dollars, load_prices


def test_the_cost_is_in_millionths_of_a_dollar():
    price = Price("p", "m", input=3.0, output=15.0, cached=0.3)
    assert price.cost(Usage(1_000_000, 0)) == 3_000_000
    assert price.cost(Usage(1_000, 200)) == 6_000
    assert price.cost(Usage(1_000, 200, cached_tokens=800)) == 600 + 240 + 3_000
    # A provider that reports more cached tokens than tokens is not believed.
    assert price.cost(Usage(100, 0, cached_tokens=900)) == 30
    assert FREE.cost(Usage(1_000, 1_000)) == 0


def test_tokens_put_into_the_cache_may_cost_more():
    price = Price("p", "m", input=4.0, output=0.0, cached=0.4, written=5.0)
    assert price.cost(Usage(1_000, 0, cached_tokens=600, written_tokens=300)) == 240 + 1_500 + 400
    assert price.cost(Usage(100, 0, written_tokens=900)) == 500
    without = Price("p", "m", input=4.0, output=0.0)
    assert without.cost(Usage(100, 0, written_tokens=50)) == 400


def test_claude_charges_a_quarter_more_for_what_it_puts_into_its_cache():
    for price in load_prices().prices:
        expected = pytest.approx(1.25 * price.input) if price.provider == "claude" else None
        assert price.written == expected, price.model


def test_cached_tokens_cost_as_much_as_others_without_a_price_of_their_own():
    assert Price("p", "m", 2.0, 8.0).cost(Usage(100, 0, cached_tokens=50)) == 200


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("claude", "claude-haiku-4-5", (1.0, 5.0)),
        ("claude", "claude-haiku-4-5-20251001", (1.0, 5.0)),
        ("claude", "claude-opus-4-6", (5.0, 25.0)),
        ("openai", "gpt-5.4-mini-2026-03-17", (0.75, 4.5)),
        ("openai", "gpt-5.4", (2.5, 15.0)),
        ("huggingface", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", (0.0, 0.0)),
        ("scripted", "1", (0.0, 0.0)),
    ],
)
def test_models_are_found(provider, model, expected):
    price = load_prices().find(provider, model)
    assert price is not None
    assert (price.input, price.output) == expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-99"), ("openai", "gpt-5.4-mega"), ("claude", "gpt-5.4"), ("nvidia", "x")],
)
def test_an_unknown_model_has_no_price(provider, model):
    assert load_prices().find(provider, model) is None


def test_the_table_says_when_and_from_where():
    table = load_prices()
    assert table.date >= date(2026, 11, 21)
    text = files("understudy.brains").joinpath("prices.yaml").read_text(encoding="utf-8")
    assert len(re.findall(r"^#   https://", text, re.MULTILINE)) >= 2
    for price in table.prices:
        assert (price.cached or 0) <= price.input <= price.output


def test_no_price_hides_another():
    table = load_prices()
    for price in table.prices:
        model = re.sub(r"\[(.).*?\]", r"\1", price.model).replace("*", "x")
        assert table.find(price.provider, model) is price


def test_own_prices_come_first(tmp_path):
    own = tmp_path / "prices.yaml"
    own.write_text(
        "date: 2027-01-01\nprices:\n  - {provider: openai, model: gpt-5.4, input: 1, output: 2}\n"
    )
    table = load_prices(own)
    assert table.date == date(2027, 1, 1)
    assert table.find("openai", "gpt-5.4") == Price("openai", "gpt-5.4", 1.0, 2.0)
    assert table.find("openai", "gpt-5.4-mini") is not None
    assert load_prices(tmp_path / "none.yaml") is load_prices()


@pytest.mark.parametrize("text", ["date: [", "- 1", "date: 2027-01-01\nprices: [{model: x}]\n", ""])
def test_a_file_that_is_no_table_is_named(tmp_path, text):
    own = tmp_path / "prices.yaml"
    own.write_text(text)
    with pytest.raises(PricesError, match=r"prices\.yaml is not a price table: ") as caught:
        load_prices(own)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    own = tmp_path / "prices.yaml"
    own.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PricesError):
        load_prices(own)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "$0.00"), (1_250_000, "$1.25"), (10_000, "$0.01"), (500, "$0.0005"), (7, "$0.000007")],
)
def test_amounts_are_written_for_people(micros, text):
    assert dollars(micros) == text
