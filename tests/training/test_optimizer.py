"""Which optimiser moves which weight, and how fast."""

import pytest
import small_run
import torch

from bigmodel.training.optimizer import Muon, make_optimizers, orthogonalise, rate, set_rate
from bigmodel.training.settings import TrainingSettings


@pytest.fixture
def model(tmp_path):
    return small_run.make_trainer(tmp_path).model


def names_by_group(model, **settings):
    optimizers = make_optimizers(model, TrainingSettings(max_steps=1, **settings))
    names = {id(weight): name for name, weight in model.named_parameters()}
    groups = [
        (type(optimizer).__name__, group["weight_decay"], {names[id(weight)] for weight in group["params"]})
        for optimizer in optimizers
        for group in optimizer.param_groups
    ]
    listed = [name for *_, group in groups for name in group]
    assert sorted(listed) == sorted(names.values())  # every weight once
    return groups


def test_matrices_by_muon_the_rest_by_adamw(model):
    muon, embeddings, vectors = names_by_group(model)
    assert muon[:2] == ("Muon", 0.1) and embeddings[:2] == vectors[:2] == ("AdamW", 0.0)
    assert embeddings[2] == {"model.embed_tokens.weight"}
    assert all("norm" in name for name in vectors[2])
    assert all(name.endswith("_proj.weight") for name in muon[2])


def test_adamw_for_all_decays_matrices_alone(model):
    groups = names_by_group(model, muon=False, weight_decay=0.2)
    assert {optimizer for optimizer, *_ in groups} == {"AdamW"}
    assert [decay for _, decay, _ in groups] == [0.0, 0.0, 0.2]
    assert all(name.endswith("_proj.weight") for name in groups[2][2])


def test_the_rate_rises_then_falls_along_a_cosine():
    settings = TrainingSettings(max_steps=100, warmup=0.1, final_rate=0.05)
    rates = [rate(step / 1000, settings) for step in range(1001)]
    assert 0 < rates[0] < 0.01
    assert rates.index(max(rates)) == 100 and max(rates) == pytest.approx(1.0)
    assert rates[:101] == sorted(rates[:101]) and rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[550] == pytest.approx((1 + 0.05) / 2)
    assert rates[1000] == rate(1.5, settings) == pytest.approx(0.05)
    assert rate(0.0, TrainingSettings(max_steps=1, warmup=0.0)) == 1.0


def test_both_optimisers_follow_the_rate(model):
    optimizers = make_optimizers(model, TrainingSettings(max_steps=1, learning_rate=0.01))
    set_rate(optimizers, 0.25)
    assert {group["lr"] for optimizer in optimizers for group in optimizer.param_groups} == {0.0025}


def test_muons_step_has_the_size_of_adamws(model):
    """match_rms_adamw: an orthogonal step scaled to a root mean square of 0.2 times the rate."""
    optimizers = make_optimizers(model, TrainingSettings(max_steps=1, learning_rate=0.01, weight_decay=0.0))
    weight = model.model.layers[0].mlp.up_proj.weight
    before = weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    step = (weight.detach() - before).square().mean().sqrt().item()
    assert step == pytest.approx(0.01 * 0.2, rel=0.35)


def test_matrices_together_move_as_pytorch_moves_each():
    shapes = [(24, 16), (16, 24), (16, 24), (16, 16), (24, 16)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(weight.detach().clone()) for weight in ours]
    options = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    one, other = Muon(ours, **options), torch.optim.Muon(theirs, **options)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        one.step()
        other.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-3)  # the steps are of 16 bits and sum to about 0.05
    assert one.state_dict()["state"].keys() == other.state_dict()["state"].keys()
    one.load_state_dict(other.state_dict())  # a run begun with the one goes on with the other
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(one.state[a]["momentum_buffer"], other.state[b]["momentum_buffer"])


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 12, 30), (2, 30, 12)])
def test_orthogonal_matrices_have_singular_values_near_one(shape):
    matrices = orthogonalise(torch.randn(shape)).float()
    assert matrices.shape == shape
    values = torch.linalg.svdvals(matrices)
    assert values.max() < 1.4 and values.median() > 0.6
