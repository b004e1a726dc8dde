"""The loss in pieces against PyTorch's cross-entropy of all logits."""

import pytest
import torch
from torch.nn import functional as F

from bigmodel.nn import loss as loss_module
from bigmodel.nn.loss import IGNORE, linear_cross_entropy


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setitem(loss_module._ROWS, "cpu", 16)


def case(rows=50, ignored=7, dtype=torch.float32):
    hidden = torch.randn(rows, 12, dtype=dtype, requires_grad=True)
    weight = torch.randn(33, 12, dtype=dtype, requires_grad=True)
    labels = torch.randint(33, (rows,))
    labels[torch.randperm(rows)[:ignored]] = IGNORE
    return hidden, weight, labels


@pytest.mark.parametrize("rows", [1, 16, 50])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_torch(rows, reduction, dtype, smoothing):
    hidden, weight, labels = case(rows, rows // 7, dtype)
    ours = linear_cross_entropy(hidden.view(rows, 1, 12), weight, labels.view(rows, 1), reduction, smoothing)
    theirs = F.cross_entropy(hidden @ weight.T, labels, reduction=reduction, label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)
    factor = torch.tensor(2.5, dtype=dtype)
    for a, b in zip(*(torch.autograd.grad(x, (hidden, weight), factor) for x in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_pieces_of_any_size_and_the_compiled_formula_give_the_same(monkeypatch, smoothing):
    hidden, weight, labels = case(70, 9, torch.float64)

    def outcome():
        loss = linear_cross_entropy(hidden, weight, labels, label_smoothing=smoothing)
        return loss, *torch.autograd.grad(loss, (hidden, weight))

    expected = outcome()
    for rows, compiling in ((1, False), (33, False), (16_384, False), (33, True)):
        monkeypatch.setitem(loss_module._ROWS, "cpu", rows)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        torch.testing.assert_close(outcome(), expected, rtol=1e-12, atol=1e-14)


def test_a_gpu_s_step_is_a_few_pieces():
    assert 8192 <= loss_module._ROWS["cuda"] <= 16_384  # 131,072 tokens: at most 16 products of each kind to compile


def test_gradient_agrees_with_finite_differences():
    hidden, weight, labels = case(20, 3, torch.float64)
    assert torch.autograd.gradcheck(lambda h, w: linear_cross_entropy(h, w, labels), (hidden, weight))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_all_ignored_is_zero_with_zero_gradients(reduction):
    hidden, weight, labels = case(20, 20)
    loss = linear_cross_entropy(hidden, weight, labels, reduction)
    assert loss.item() == 0
    assert all((grad == 0).all() for grad in torch.autograd.grad(loss, (hidden, weight)))


def test_bfloat16_autocast_is_near_float32():
    hidden, weight, labels = case(200)
    exact = F.cross_entropy(hidden @ weight.T, labels)
    with torch.autocast("cpu", torch.bfloat16):
        low = linear_cross_entropy(hidden.bfloat16(), weight, labels)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=5e-3, atol=0)
    for a, b in zip(*(torch.autograd.grad(x, (hidden, weight)) for x in (low, exact)), strict=True):
        assert (a - b).norm() < 0.02 * b.norm()


def test_makes_no_gradients_where_none_are_wanted(monkeypatch):
    hidden, weight, labels = case()
    with torch.no_grad():
        monkeypatch.setattr(torch, "zeros_like", None)  # the gradient of weight would need it
        loss = linear_cross_entropy(hidden, weight, labels)
    assert not loss.requires_grad


def test_huge_logits_stay_finite():
    hidden, weight, labels = case()
    loss = linear_cross_entropy(hidden * 1e4, weight, labels)
    assert loss.isfinite()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss, (hidden, weight)))
