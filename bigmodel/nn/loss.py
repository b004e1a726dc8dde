"""Cross-entropy of a large vocabulary without holding all of its logits."""

import torch

IGNORE = -100
_ROWS = 512  # rows of logits at a time: 512 x 8,192 in bfloat16 stay in a CPU's cache


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum of the cross-entropies of hidden @ weight.T, a few rows at a time.

    The gradient of the logits is softmax - target, known as soon as the logits are; so the forward pass makes
    the gradients of hidden and weight at once, and no row's logits outlive their turn.
    """

    @staticmethod
    def forward(ctx, hidden, weight, labels, smoothing):
        wide_type = torch.promote_types(hidden.dtype, torch.float32)
        total = hidden.new_zeros((), dtype=wide_type)
        need_grad = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        grad_hidden = torch.empty_like(hidden) if need_grad else None
        grad_weight = torch.zeros_like(weight, dtype=wide_type) if need_grad else None
        low, tokens = weight.to(hidden.dtype), torch.arange(len(weight), device=weight.device)
        for start in range(0, len(hidden), _ROWS):
            rows = slice(start, start + _ROWS)
            logits = hidden[rows] @ low.T
            wide = logits.to(wide_type)
            log_z = wide.logsumexp(-1, keepdim=True)
            target = labels[rows, None]
            counted = target != IGNORE
            target = target.where(counted, 0)
            expected = wide.gather(1, target) * (1 - smoothing)
            if smoothing:
                expected = expected + smoothing * wide.mean(-1, keepdim=True)
            total += ((log_z - expected) * counted).sum()
            if need_grad:
                wanted = (tokens == target).to(wide_type) * (1 - smoothing) + smoothing / len(weight)
                grad = ((wide - log_z).exp() - wanted) * counted  # one pass when compiled
                grad = grad.to(hidden.dtype)
                grad_hidden[rows] = grad @ low
                grad_weight += grad.T @ hidden[rows]
        if need_grad:
            ctx.save_for_backward(grad_hidden, grad_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx, grad_total):
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad_total, grad_weight * grad_total, None, None


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
