"""What of a batch each of several processes makes."""

from bigmodel.errors import ConfigError


def share(step, batch_size, rank, world):
    """Return the numbers, counted from the first batch on, of what one process makes of a batch: a range.

    Args:
        step: number of the batch, from 0.
        batch_size: of all processes together.
        rank, world: this process and how many share the batch.

    Raises:
        ConfigError: world does not divide batch_size.
    """
    if batch_size % world:
        raise ConfigError(f"batch_size {batch_size} cannot be shared by {world} processes")
    count = batch_size // world
    first = step * batch_size + rank * count
    return range(first, first + count)
