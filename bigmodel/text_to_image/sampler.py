"""From noise to pictures, in steps along the flow.

At a time t from 0 (noise) to 1 (picture) the denoiser says which picture x a mixture z is expected to be, and the flow
moves z by the velocity (x - z) / (1 - t). Arrays may be numpy's or torch's.

Source: Lipman et al. 2022, arXiv:2210.02747 (flow matching); Heun 1900, as in Karras et al. 2022, arXiv:2206.00364.
"""

HEUN = "heun"
SAMPLERS = ("euler", HEUN)
MAX_SEED = 2**32 - 1  # of a picture's noise


def sample(denoise, noise, *, steps, sampler=HEUN):
    """Yield the expected pictures of each step; the last are the result.

    Args:
        denoise: function of z and a time, which returns the expected pictures; of z's shape.
        noise: z at the time 0.
        steps: 1 or more, equally long.
        sampler: "euler" asks the denoiser once a step; "heun" twice, to move by the mean of the velocities at both
            ends, but for the last step, whose end is the picture.
    """
    z = noise
    for step in range(steps):
        t, after = step / steps, (step + 1) / steps
        expected = denoise(z, t)
        yield expected
        if after == 1:
            return
        velocity = (expected - z) / (1 - t)
        moved = z + (after - t) * velocity
        if sampler == HEUN:
            again = (denoise(moved, after) - moved) / (1 - after)
            moved = z + (after - t) * (velocity + again) / 2
        z = moved


def guided(conditional, unconditional, scale):
    """Return the pictures that a caption leads to, led ``scale`` times as far away from those without a caption.

    Source: Ho and Salimans 2022, arXiv:2207.12598 (classifier-free guidance).
    """
    return unconditional + scale * (conditional - unconditional)
