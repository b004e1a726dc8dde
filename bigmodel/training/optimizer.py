"""Optimisers and the learning rate's schedule."""

import math
from collections import defaultdict

import torch


def has_fast_bf16(device):
    """Whether a device multiplies bfloat16 by instructions of its own; without them it is a hundred times slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any("bf16" in name and there for name, there in torch.cpu.get_capabilities().items())


class Muon(torch.optim.Muon):
    """PyTorch's Muon with the matrices of one shape orthogonalised together.

    A transformer has few shapes, and many layers: a GPU gets some large products instead of thousands of small ones.
    State and options are torch.optim.Muon's, and ``adjust_lr_fn`` is "match_rms_adamw".
    """

    @torch.no_grad()
    def step(self, closure=None):
        """Take one step; see torch.optim.Optimizer.step."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            shapes = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes[weight.shape].append(weight)
            for weights in shapes.values():
                self._step_together(weights, group)
        return loss

    def _step_together(self, weights, group):
        buffers = []
        for weight in weights:
            state = self.state[weight]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(weight.grad)
            buffers.append(state["momentum_buffer"])
        grads, momentum = [weight.grad for weight in weights], group["momentum"]
        torch._foreach_lerp_(buffers, grads, 1 - momentum)
        updates = torch._foreach_lerp(grads, buffers, momentum) if group["nesterov"] else buffers
        steps = orthogonalise(torch.stack(updates), group["ns_coefficients"], group["ns_steps"], group["eps"])
        scale = group["lr"] * 0.2 * math.sqrt(max(weights[0].shape))
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, list(steps.to(weights[0].dtype).unbind()), alpha=-scale)


def orthogonalise(matrices, coefficients=(3.4445, -4.7750, 2.0315), iterations=5, eps=1e-7):
    """Return the nearest orthogonal matrices, roughly: singular values between about 0.7 and 1.2.

    Args:
        matrices: (count, rows, columns).
        coefficients: a, b, c of X <- a X + (b G + c G^2) X with G = X X^T.
        iterations: how often that is done.
        eps: least norm.

    Returns:
        (count, rows, columns) bfloat16, float32 where that is faster.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon (Newton-Schulz iteration).
    """
    a, b, c = coefficients
    x = matrices.bfloat16() if has_fast_bf16(matrices.device) else matrices.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def make_optimizers(model, settings):
    """Return the optimisers of a model: Muon for the layers' matrices where asked for, AdamW for the rest.

    Muon orthogonalises a matrix's momentum, so that every direction moves alike; ``match_rms_adamw`` scales its
    step to AdamW's, and both share one learning rate. Embeddings, a vocabulary's head and vectors are AdamW's.

    Args:
        model: nn.Module; parameters whose name holds "embed" or "lm_head" count as embeddings.
        settings: TrainingSettings.

    Returns:
        list of torch.optim.Optimizer, each group with its peak rate under "peak_lr".

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv:2502.16982 (scale).
    """
    matrices, embeddings, vectors = [], [], []
    for name, weight in model.named_parameters():
        if weight.dim() != 2:
            vectors.append(weight)
        elif "embed" in name or "lm_head" in name:
            embeddings.append(weight)
        else:
            matrices.append(weight)
    decayed = {"params": matrices, "weight_decay": settings.weight_decay}
    groups = [{"params": g, "weight_decay": 0.0} for g in (embeddings, vectors) if g]
    optimizers, lr = [], settings.learning_rate
    if settings.muon and matrices:
        optimizers.append(Muon([decayed], lr=lr, momentum=0.95, adjust_lr_fn="match_rms_adamw"))
    elif matrices:
        groups.append(decayed)
    if groups:
        optimizers.append(torch.optim.AdamW(groups, lr=lr, betas=settings.betas, fused=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def rate(progress, settings):
    """Return the learning rate as a share of its peak.

    Args:
        progress: share of the run that is done, in [0, 1].
        settings: TrainingSettings: warmup rises in a line, then half a cosine falls to final_rate.
    """
    if progress < settings.warmup:
        return (progress + 1e-4) / (settings.warmup + 1e-4)
    done = (progress - settings.warmup) / (1 - settings.warmup)
    return settings.final_rate + (1 - settings.final_rate) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def set_rate(optimizers, share):
    """Set every group's learning rate to ``share`` of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share
