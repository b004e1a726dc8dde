"""How much of a text stands word for word in the training text."""

RUN = 8  # words; shorter ones are common phrases


def runs_of(line):
    """Return the runs of RUN words of a line, in their order, each a text."""
    words = line.split()
    return [" ".join(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]


def copied_share(texts, training_lines, *others):
    """Return (share, count) for each list of texts: the share of their runs of words that stand in a training line.

    Args:
        texts: list of texts; their lines are taken one by one.
        training_lines: iterable of lines, read once.
        others: more lists of texts.
    """
    runs = [
        [run for text in group for line in text.splitlines() for run in runs_of(line)] for group in (texts, *others)
    ]
    sought, found = set().union(*runs), set()
    openings = {run.partition(" ")[0] for run in sought}
    for line in training_lines:
        words = line.split()
        for i in range(len(words) - RUN + 1):
            if words[i] in openings and (run := " ".join(words[i : i + RUN])) in sought:
                found.add(run)
    return [(sum(run in found for run in group) / max(1, len(group)), len(group)) for group in runs]
