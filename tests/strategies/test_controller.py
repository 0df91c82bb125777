"""The controller's arithmetic, against torch and against sums over all sequences."""

import itertools

import numpy as np
import pytest
import torch

from nas.strategies._controller import HIDDEN, Controller, Parameters
from search_spaces import Decision

DECISIONS = (
    Decision("layer0.operator", ("gcn", "gat", "gin")),
    Decision("layer0.width", (8, 16)),
    Decision("layer1.operator", ("gcn", "gat", "gin")),
    Decision("width", (8, 16, 32)),
    Decision("readout", ("sum",)),
)


@pytest.fixture
def controller() -> Controller:
    return Controller(DECISIONS)


@pytest.fixture
def parameters(controller: Controller) -> Parameters:
    """Ten times as large as at the start, so that nothing is nearly linear."""
    rng = np.random.default_rng(0)
    initial = controller.initial(rng)
    return Parameters(initial.values * 10, initial.mean, initial.square)


def by_torch(parts, tokens, context):
    """(log-probability, entropy) of a sequence of (rows, index), by torch's own LSTM cell."""
    embeddings, weights, biases, decoders, decoder_biases = parts
    # torch has the gates in the order input, forget, candidate, output.
    order = torch.arange(4 * HIDDEN).reshape(4, HIDDEN)[[0, 1, 3, 2]].reshape(-1)
    cell = torch.nn.LSTMCell(HIDDEN, HIDDEN, dtype=torch.float64)
    cell_parameters = {
        "weight_ih": weights[order, :HIDDEN],
        "weight_hh": weights[order, HIDDEN:],
        "bias_ih": biases[order],
        "bias_hh": torch.zeros(4 * HIDDEN, dtype=torch.float64),
    }
    x = torch.zeros(1, HIDDEN, dtype=torch.float64)
    if context:
        x = torch.nn.functional.normalize(sum(embeddings[t] for t in context)[None])
    state = (torch.zeros_like(x), torch.zeros_like(x))
    total, entropy = 0.0, 0.0
    for rows, index in tokens:
        state = torch.func.functional_call(cell, cell_parameters, (x, state))
        logits = decoders[rows] @ state[0][0] + decoder_biases[rows]
        law = torch.distributions.Categorical(logits=2.5 * torch.tanh(logits / 5))
        total = total + law.log_prob(torch.tensor(index))
        entropy = entropy + law.entropy()
        x = embeddings[rows][index][None]
    return total, entropy


@pytest.mark.parametrize("context", [(), (0, 4), (3, 3, 7)])
def test_the_gradient_is_that_of_torch(controller, parameters, context):
    """Log-probability, entropy and every parameter's gradient, by autograd on another LSTM."""
    rng = np.random.default_rng(1)
    walk = controller.walk(parameters, context)
    tokens = []
    for decision in DECISIONS:
        index = walk.sample(decision, rng)
        first = controller.first[decision.name]
        tokens.append((slice(first, first + len(decision.choices)), index))
    flat = torch.tensor(parameters.values, requires_grad=True)
    sizes = [part.size for part in controller.parts(parameters.values)]
    shapes = [part.shape for part in controller.parts(parameters.values)]
    parts = [p.reshape(s) for p, s in zip(flat.split(sizes), shapes, strict=True)]
    log_probability, entropy = by_torch(parts, tokens, context)
    log_probability.backward()
    assert walk.log_probability == pytest.approx(log_probability.item(), rel=1e-12)
    assert walk.entropy == pytest.approx(entropy.item(), rel=1e-12)
    np.testing.assert_allclose(walk.gradient(), flat.grad.numpy(), rtol=1e-9, atol=1e-13)
    assert all(np.abs(part).max() > 1e-6 for part in controller.parts(walk.gradient()))


def test_adam_is_that_of_torch(controller, parameters):
    """Several ascents along random gradients."""
    mine, theirs = parameters, torch.tensor(parameters.values, requires_grad=True)
    adam = torch.optim.Adam([theirs], lr=0.01, maximize=True)
    rng = np.random.default_rng(2)
    for scale in (1.0, 1e-3, 100.0, 0.0, 1.0):
        gradient = scale * rng.standard_normal(len(parameters.values))
        mine = mine.ascended(gradient, 0.01)
        theirs.grad = torch.tensor(gradient)
        adam.step()
    np.testing.assert_allclose(mine.values, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    assert not np.allclose(mine.values, parameters.values)


@pytest.mark.parametrize("context", [(), (1, 5)])
def test_probabilities_of_all_sequences_sum_to_one(controller, parameters, context):
    """Every sequence once; and their mean surprise is the expected sum of entropies."""
    total = surprise = entropy = 0.0
    for choices in itertools.product(*(decision.choices for decision in DECISIONS)):
        walk = controller.walk(parameters, context)
        for decision, choice in zip(DECISIONS, choices, strict=True):
            walk.follow(decision, choice)
        probability = np.exp(walk.log_probability)
        total += probability
        surprise -= probability * walk.log_probability
        entropy += probability * walk.entropy
    assert total == pytest.approx(1.0, abs=1e-12)
    assert surprise == pytest.approx(entropy, abs=1e-12)


def test_samples_have_the_probabilities(controller, parameters):
    """Frequencies of the first two choices, 4,000 draws, within 4 standard errors."""
    rng, drawn = np.random.default_rng(3), []
    for _ in range(4000):
        walk = controller.walk(parameters)
        drawn.append(tuple(walk.sample(decision, rng) for decision in DECISIONS[:2]))
    for choices in itertools.product(range(3), range(2)):
        walk = controller.walk(parameters)
        for decision, index in zip(DECISIONS, choices, strict=False):
            walk.follow(decision, decision.choices[index])
        expected = np.exp(walk.log_probability)
        error = np.sqrt(expected * (1 - expected) / len(drawn))
        assert abs(drawn.count(choices) / len(drawn) - expected) < 4 * error


def test_decisions_of_one_kind_share_a_decoder(controller):
    """The two operators do; the two widths differ in their choices, so they do not."""
    first = controller.first
    assert first["layer0.operator"] == first["layer1.operator"]
    assert first["layer0.width"] != first["width"]


def test_no_choices_have_no_gradient(controller, parameters):
    """A sequence of nothing is certain."""
    walk = controller.walk(parameters)
    assert (walk.log_probability, walk.entropy) == (0.0, 0.0)
    assert not walk.gradient().any()
