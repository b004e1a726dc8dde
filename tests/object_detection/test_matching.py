"""Matching against every possible assignment, overlaps by hand, and a loss that rewards the right sets."""

from itertools import permutations

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

from bigmodel.object_detection.boxes import overlap, to_xyxy  # noqa: E402
from bigmodel.object_detection.matching import costs, match, set_loss  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def random_set(predictions, objects, seed, labels=3):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(predictions, labels, generator=generator)
    boxes = torch.rand(predictions, 4, generator=generator) * 0.4 + 0.2
    truths = torch.rand(objects, 4, generator=generator) * 0.4 + 0.2
    kinds = torch.randint(labels, (objects,), generator=generator)
    return tuple(tensor[None] for tensor in (logits, boxes, kinds, truths))


@pytest.mark.parametrize("seed", range(10))
def test_the_cheapest_of_all_assignments(seed):
    one = random_set(6, 4, seed)
    [cost] = costs(*one)
    best = min(sum(cost[p, o] for o, p in enumerate(chosen)) for chosen in permutations(range(6), 4))
    pictures, predictions, objects = match(*one)
    assert sorted(objects.tolist()) == [0, 1, 2, 3] and len(set(predictions.tolist())) == 4
    assert pictures.tolist() == [0] * 4
    assert cost[predictions, objects].sum().item() == pytest.approx(best.item(), abs=1e-5)


def test_repeats_give_each_object_several_predictions():
    _, predictions, objects = match(*random_set(12, 3, 0), repeats=4)
    assert torch.bincount(objects).tolist() == [4, 4, 4] and len(set(predictions.tolist())) == 12
    _, _, objects = match(*random_set(7, 3, 0), repeats=4)  # there are enough for two each
    assert torch.bincount(objects).tolist() == [2, 2, 2]


@pytest.mark.parametrize("repeats", [1, 4])
def test_a_batch_is_matched_as_its_pictures_are_and_leaves_the_device_once(monkeypatch, repeats):
    sets = [random_set(9, count, seed) for seed, count in enumerate((3, 1, 5))]
    empty = torch.full((1, 5), -1), torch.zeros(1, 5, 4)
    sets.insert(1, (*random_set(9, 5, 7)[:2], *empty))
    logits, boxes = (torch.cat([one[i] for one in sets]) for i in range(2))
    labels = torch.cat([F.pad(one[2], (0, 5 - one[2].shape[1]), value=-1) for one in sets])
    truths = torch.cat([F.pad(one[3], (0, 0, 0, 5 - one[3].shape[1])) for one in sets])
    left, copy = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: left.append(1) or copy(tensor))
    pictures, predictions, objects = match(logits, boxes, labels, truths, repeats)
    assert len(left) == 1
    for i, one in enumerate(sets):
        chosen = (pictures == i).nonzero()[:, 0]
        alone = match(*one, repeats)
        assert torch.equal(predictions[chosen], alone[1]) and torch.equal(objects[chosen], alone[2])
    assert (pictures == 1).sum() == 0


def test_more_objects_than_predictions():
    _, predictions, objects = match(*random_set(3, 5, 1))
    assert sorted(predictions.tolist()) == [0, 1, 2] and len(set(objects.tolist())) == 3


def test_overlaps_by_hand():
    a, b = torch.tensor([0.0, 0.0, 0.4, 0.4]), torch.tensor([0.2, 0.2, 0.6, 0.6])
    iou, generalised = overlap(a, b)
    assert iou.item() == pytest.approx(0.04 / 0.28)
    assert generalised.item() == pytest.approx(0.04 / 0.28 - (0.36 - 0.28) / 0.36, abs=1e-6)
    iou, generalised = overlap(a, torch.tensor([0.6, 0.6, 1.0, 1.0]))
    assert iou.item() == 0 and generalised.item() == pytest.approx(-(1 - 0.32))
    assert [x.item() for x in overlap(a, a)] == [1, 1]


def test_corners_of_a_centre_and_a_size():
    torch.testing.assert_close(to_xyxy(torch.tensor([[0.5, 0.4, 0.2, 0.6]])), torch.tensor([[0.4, 0.1, 0.6, 0.7]]))


def test_a_right_set_costs_least():
    truths = torch.tensor([[[0.3, 0.3, 0.2, 0.2], [0.7, 0.6, 0.2, 0.3]]])
    labels = torch.tensor([[0, 1]])
    boxes = torch.cat([truths, truths[:, :1], torch.tensor([[[0.5, 0.9, 0.1, 0.1]]])], 1)

    def loss(*scores):
        return set_loss(torch.tensor([scores], dtype=torch.float32), boxes, labels, truths).item()

    low = -8.0
    right = loss((8, low), (low, 8), (low, low), (low, low))
    doubled = loss((8, low), (low, 8), (8, low), (low, low))
    missed = loss((8, low), (low, low), (low, low), (low, low))
    swapped = loss((low, 8), (8, low), (low, low), (low, low))
    assert right < 0.01 and min(doubled, missed, swapped) > 1


def test_a_picture_without_objects():
    logits, boxes = torch.randn(2, 5, 3, requires_grad=True), torch.rand(2, 5, 4)
    labels = torch.full((2, 1), -1)
    set_loss(logits, boxes, labels, torch.zeros(2, 1, 4)).backward()
    assert (logits.grad > 0).all()  # every score shall fall


def test_predictions_do_not_depend_on_their_company():
    logits, boxes, labels, truths = random_set(8, 3, 2)
    alone = set_loss(logits, boxes, labels, truths)
    padded_labels = torch.cat([labels, torch.tensor([[-1]])], 1).repeat(2, 1)
    padded = torch.cat([truths, torch.zeros(1, 1, 4)], 1).repeat(2, 1, 1)
    both = set_loss(logits.repeat(2, 1, 1), boxes.repeat(2, 1, 1), padded_labels, padded)
    assert both.item() == pytest.approx(alone.item(), rel=1e-5)
