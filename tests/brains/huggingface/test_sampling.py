from collections import Counter

import pytest

from understudy.brains.base import BrainRequest
from understudy.brains.huggingface.sampling import NOT_A_TOKEN, Sampling, choose

torch = pytest.importorskip("torch", reason="understudy[huggingface] is missing")

SCORES = [0.0, 3.0, 2.0, -1.0]


def draws(sampling: Sampling, count: int = 300) -> Counter[int]:
    generator = torch.Generator().manual_seed(5)
    scores = torch.tensor([SCORES])
    return Counter(choose(torch, scores, [sampling], [generator])[0] for _ in range(count))


def test_temperature_zero_takes_the_most_likely_token():
    assert draws(Sampling()) == {1: 300}


def test_a_temperature_draws_by_chance():
    counts = draws(Sampling(1.0))
    assert counts[1] > counts[2] > counts[0]


def test_top_p_keeps_the_likeliest_tokens_that_reach_it():
    assert set(draws(Sampling(1.0, top_p=0.9))) == {1, 2}
    assert set(draws(Sampling(1.0, top_p=0.0))) == {1}


def test_top_k_keeps_so_many_tokens():
    assert set(draws(Sampling(5.0, top_k=2))) == {1, 2}


def test_rows_are_drawn_from_their_own_randomness():
    def row(neighbours: int) -> list[int]:
        generators = [torch.Generator().manual_seed(n) for n in range(neighbours + 1)]
        scores = torch.tensor([SCORES] * (neighbours + 1))
        samplings = [Sampling(1.0)] * (neighbours + 1)
        return [choose(torch, scores, samplings, generators)[0] for _ in range(50)]

    assert row(0) == row(5)


def test_scores_that_are_no_numbers_are_marked_and_harm_no_neighbour():
    scores = torch.tensor([[float("nan"), 1.0], [float("inf"), 0.0], [0.0, 1.0]])
    generators = [torch.Generator() for _ in range(3)]
    chosen = choose(torch, scores, [Sampling(1.0), Sampling(), Sampling()], generators)
    assert chosen == [NOT_A_TOKEN, NOT_A_TOKEN, 1]


def test_the_request_wins_over_the_models_own_wishes():
    class Config:
        do_sample, temperature, top_p, top_k = True, 0.6, None, 20

    model = Sampling.of_model(Config)
    assert model == Sampling(0.6, 1.0, 20)
    assert model.for_request(BrainRequest(messages=[])) == model
    asked = BrainRequest(messages=[], temperature=0.0, top_p=0.5)
    assert model.for_request(asked) == Sampling(0.0, 0.5, 20)
