"""Cross-entropy of a large vocabulary without holding all of its logits."""

import torch
from torch.nn import functional as F

IGNORE = -100
# rows of logits at a time: on a CPU 512 x 8,192 in bfloat16 stay in its cache, a GPU wants few and large products
_ROWS = {"cpu": 512, "cuda": 16_384}


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum of the cross-entropies of hidden @ weight.T, a few rows at a time.

    The gradient of the logits is softmax - target, known as soon as the logits are; so the forward pass makes
    the gradients of hidden and weight at once, and no row's logits outlive their turn. What smoothing adds, a
    mean over the vocabulary, comes from the mean of the weights, without a pass over the logits.
    """

    @staticmethod
    def forward(ctx, hidden, weight, labels, smoothing):
        wide_type = torch.promote_types(hidden.dtype, torch.float32)
        total = hidden.new_zeros((), dtype=wide_type)
        need_grad = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        grad_hidden = torch.empty_like(hidden) if need_grad else None
        grad_weight = torch.zeros_like(weight, dtype=wide_type) if need_grad else None
        low = weight.to(hidden.dtype)
        mean = low.mean(0, dtype=wide_type) * smoothing
        step = _ROWS.get(hidden.device.type, 512)
        for start in range(0, len(hidden), step):
            rows = hidden[start : start + step]
            target = labels[start : start + step, None]
            counted = target != IGNORE
            target = target.where(counted, 0)
            logits = rows @ low.T
            log_p = F.log_softmax(logits, -1, dtype=wide_type)
            expected = log_p.gather(1, target)
            loss = -expected
            if smoothing:  # log z is a logit less its log p
                loss = loss + smoothing * logits.gather(1, target).to(wide_type)
                loss = loss - (rows * mean).sum(-1, keepdim=True)  # no product: autocast would round it
            total = total + (loss * counted).sum()  # torch 2.11 compiles += on what is returned to no gradient
            if need_grad:
                grad = _less_target(log_p.exp_(), target, 1 - smoothing).to(hidden.dtype)
                grad_hidden[start : start + step] = (grad @ low - mean.to(hidden.dtype)) * counted
                grad_weight += grad.T @ (rows * counted)
        if need_grad:
            if smoothing:
                counted = (labels != IGNORE).to(hidden.dtype)
                grad_weight -= (counted @ hidden).to(wide_type) * (smoothing / len(weight))
            ctx.save_for_backward(grad_hidden, grad_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx, grad_total):
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad_total, grad_weight * grad_total, None, None


def _less_target(p, target, share):
    """Return p (rows, vocab_size), which may be overwritten, less ``share`` at each row's target (rows, 1)."""
    if torch.compiler.is_compiling():  # fused with what is before and after it
        return torch.where(torch.arange(p.shape[1], device=p.device) == target, p - share, p)
    return p.scatter_add_(1, target, p.new_full(target.shape, -share))


def linear_cross_entropy(hidden, weight, labels, reduction="mean", label_smoothing=0.0):
    """Return the cross-entropy of the logits hidden @ weight.T.

    Args:
        hidden: (..., hidden_size).
        weight: (vocab_size, hidden_size).
        labels: (...) int64; IGNORE (-100) does not count.
        reduction: "mean" over the labels that count, 0 where none does; or "sum".
        label_smoothing: share of each label that is spread evenly over the vocabulary.

    Returns:
        scalar in nats, float32 (float64 where hidden is).

    Source: Hsu et al. 2024 (Liger Kernel), arXiv:2410.10989; Szegedy et al. 2016, arXiv:1512.00567 (smoothing).
    """
    hidden, labels = hidden.flatten(0, -2), labels.flatten()
    if not torch.is_grad_enabled():  # a Function would make gradients wherever a weight could have one
        hidden, weight = hidden.detach(), weight.detach()
    total = _LinearCrossEntropy.apply(hidden, weight, labels, label_smoothing)
    return total / (labels != IGNORE).sum().clamp(min=1) if reduction == "mean" else total
