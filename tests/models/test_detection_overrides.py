"""Is each override what the paper's detector computes, by hand, and is it what torchvision does not?"""

import math

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss, project_masks_on_boxes
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform, paste_masks_in_image
from torchvision.ops import MultiScaleRoIAlign

from models.dense import small_detector
from rapidnet.models.detection_overrides import (
    OVERRIDES,
    AlignedRoIAlign,
    BestMatcher,
    BoxAndMaskHeads,
    ClampedBoxCoder,
    ProposalNetwork,
    RoundedTransform,
    StrideAnchors,
    paste_masks,
)


def near(value: Tensor, expected: object, **tolerance: float) -> bool:
    return bool(torch.allclose(value, torch.as_tensor(expected, dtype=value.dtype), **tolerance))


def test_every_override_is_in_the_detector() -> None:
    detector = small_detector()
    parts = [*detector.modules(), detector.rpn.proposal_matcher, detector.rpn.box_coder, detector.roi_heads.box_coder]
    assert {type(part) for part in parts} >= set(OVERRIDES)
    for part in (detector.rpn.box_coder, detector.roi_heads.box_coder):
        assert type(part) is ClampedBoxCoder


def test_anchors_are_not_rounded_and_stand_on_multiples_of_the_stride() -> None:
    anchors = StrideAnchors((4, 64), 8.0, (0.5, 1.0, 2.0))
    root = math.sqrt(2)
    # 32 pixels at ratios of height to width 1/2, 1, 2.
    cells = [
        [-16 * root, -8 * root, 16 * root, 8 * root],
        [-16, -16, 16, 16],
        [-8 * root, -16 * root, 8 * root, 16 * root],
    ]
    assert near(anchors.cell_anchors[0], cells)
    maps = [torch.zeros(1, 1, 200, 336), torch.zeros(1, 1, 13, 21)]
    image = ImageList(torch.zeros(1, 3, 800, 1344), [(800, 1344)])
    (every,) = anchors(image, maps)
    # The second row's third pixel, at (8, 4); its ratios beside one another.
    assert near(every[3 * (336 + 2) :][:3], torch.tensor(cells) + torch.tensor([8.0, 4, 8, 4]))
    # The coarse level's last pixel, at 64 times its place.
    assert near(every[-2], [20 * 64 - 256.0, 12 * 64 - 256, 20 * 64 + 256, 12 * 64 + 256])
    theirs = AnchorGenerator(((32,), (512,)), ((0.5, 1.0, 2.0),) * 2)
    assert near(theirs.cell_anchors[0][0], [-23.0, -11.0, 23.0, 11.0])
    assert near(theirs(image, maps)[0][-2], [20 * 64 - 256.0, 12 * 61 - 256, 20 * 64 + 256, 12 * 61 + 256])


def test_an_objects_best_anchors_are_its_own() -> None:
    overlaps = torch.tensor([[0.75, 0.40, 0.10, 0.00], [0.72, 0.20, 0.35, 0.10]])
    ours, theirs = BestMatcher(0.7, 0.3, 0.3), Matcher(0.7, 0.3, allow_low_quality_matches=True)
    assert ours(overlaps.clone()).tolist() == [1, -2, -2, -1]
    assert theirs(overlaps.clone()).tolist() == [0, -2, -2, -1]


def test_best_anchors_are_positive_from_the_least_overlap_on() -> None:
    ours, theirs = BestMatcher(0.7, 0.3, 0.3), Matcher(0.7, 0.3, allow_low_quality_matches=True)
    assert ours(torch.tensor([[0.35, 0.35, 0.1]])).tolist() == [0, 0, -1], "all that are equally good"
    assert ours(torch.tensor([[0.25, 0.1, 0.0]])).tolist() == [-1, -1, -1]
    assert theirs(torch.tensor([[0.25, 0.1, 0.0]])).tolist() == [0, -1, -1]


def test_proposals_are_matched_without_low_quality_unless_asked_for() -> None:
    overlaps = torch.tensor([[0.45, 0.2], [0.1, 0.3]])
    assert small_detector().roi_heads.proposal_matcher(overlaps.clone()).tolist() == [-1, -1]
    taken = torch.tensor([[0.8, 0.2], [0.7, 0.3]])
    assert small_detector().roi_heads.proposal_matcher(taken.clone()).tolist() == [0, -1]
    assert small_detector(roi_best_iou=0.5).roi_heads.proposal_matcher(taken.clone()).tolist() == [1, -1]


def test_box_differences_have_the_papers_scale_and_bounds() -> None:
    coder = ClampedBoxCoder((0.1, 0.1, 0.2, 0.2))
    anchor, box = torch.tensor([[0.0, 0.0, 10.0, 20.0]]), torch.tensor([[1.0, 2.0, 11.0, 42.0]])
    # Centre (5, 10) to (6, 22): a tenth of the width and six tenths of the height; the height doubles.
    codes = coder.encode_single(box, anchor)
    assert near(codes, [[1.0, 6.0, 0.0, math.log(2) / 0.2]])
    assert near(coder.decode_single(codes, anchor), box)
    tiny = coder.decode_single(torch.tensor([[0.0, 0.0, -50.0, 50.0]]), anchor)
    assert near(tiny[:, 2:] - tiny[:, :2], [[10 * 16 / 1000, 20 * 1000 / 16]])
    theirs = BoxCoder((10.0, 10.0, 5.0, 5.0)).decode_single(torch.tensor([[0.0, 0.0, -50.0, 50.0]]), anchor)
    assert near(theirs[:, 2:] - theirs[:, :2], [[10 * math.exp(-10), 20 * 1000 / 16]], atol=1e-6)


def test_proposal_losses_by_hand() -> None:
    network = small_detector().rpn
    labels = [torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0.0, 0.0, 0.0])]
    differences = [torch.zeros(3, 4), torch.zeros(3, 4)]
    deltas = torch.full((6, 4), 100.0)
    deltas[0] = torch.tensor([0.5, -1.0, 2.0, 1.0])
    objectness, boxes = network.compute_loss(torch.zeros(6, 1), deltas, labels, differences)
    # One positive and one negative, then three negatives and, of positives, one where there is none.
    assert near(boxes, 4.5 / 6) and near(objectness, 5 * math.log(2) / 6)
    _, smooth = RegionProposalNetwork.compute_loss(network, torch.zeros(6, 1), deltas, labels, differences)
    assert not near(smooth, 4.5 / 5)


def test_anchors_in_the_padding_are_not_trained_on() -> None:
    network = small_detector().rpn
    # Padded alone, an image of 40 x 70 pixels has 64 x 96; the rest is there for another image of its batch.
    centers = torch.tensor([[95.0, 63.0], [96.0, 10.0], [10.0, 64.0], [10.0, 10.0]])
    anchors = torch.cat([centers - 8, centers + 8], dim=1)
    truth = {"boxes": torch.tensor([[2.0, 2.0, 18.0, 18.0]]), "size": torch.tensor([40, 70])}
    (labels,), (boxes,) = network.assign_targets_to_anchors([anchors], [truth])
    assert labels.tolist() == [0, -1, -1, 1] and near(boxes[3], truth["boxes"][0])
    # An object that overlaps padding most takes the best anchor that is not there.
    truth = {"boxes": torch.tensor([[88.0, 44.0, 112.0, 68.0]]), "size": torch.tensor([40, 70])}
    anchors = torch.tensor([[90.0, 44.0, 114.0, 68.0], [80.0, 40.0, 104.0, 64.0]])
    assert network.assign_targets_to_anchors([anchors], [truth])[0][0].tolist() == [-1, 1]
    theirs = RegionProposalNetwork.assign_targets_to_anchors(network, [anchors], [truth])
    assert theirs[0][0].tolist() == [1, -1]


def test_proposals_are_chosen_level_by_level() -> None:
    network = small_detector(proposals_per_level_training=2, proposals_training=3, proposals_per_level_test=1).rpn
    box, apart = [0.0, 0.0, 20.0, 20.0], [30.0, 30.0, 50.0, 50.0]
    # Three boxes on the first level, two on the second; the same place is best on both.
    boxes = torch.tensor([[box, [1.0, 1.0, 21.0, 21.0], apart, box, apart]])
    scores = torch.tensor([[3.0, 2.0, 1.0, 2.5, 0.5]])
    (kept,), _ = network.train().filter_proposals(boxes, scores, [(64, 64)], [3, 2])
    # Of the first level's two best, one suppresses the other; the second level's are its own.
    assert near(kept, [box, box, apart])
    (kept,), _ = network.eval().filter_proposals(boxes, scores, [(64, 64)], [3, 2])
    assert near(kept, [box, box])


def test_pooling_is_aligned_samples_every_pixel_and_knows_its_levels() -> None:
    strides, sides = (4, 8, 16, 32), (64, 32, 16, 8)
    ramp = [torch.arange(float(side)).expand(1, 1, side, side) for side in sides]
    pool = AlignedRoIAlign(strides, 2, 0)
    # 8 to 24 pixels: 2 to 6 on the finest map, cells around 3 and 5; a pixel's value is at its middle.
    small = [torch.tensor([[8.0, 8.0, 24.0, 24.0]])]
    maps = {str(i): level for i, level in enumerate(ramp)}
    assert near(pool(maps, small, [(256, 256)])[0, 0], [[2.5, 4.5], [2.5, 4.5]])
    theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], 2, 0)
    assert near(theirs(maps, small, [(256, 256)])[0, 0, 0], [3.0, 5.0])
    # Eight pixels a cell: the mean of all their squares, 140 / 8 and 1100 / 8, which two samples would miss.
    squares = {str(i): level**2 for i, level in enumerate(ramp)}
    wide = [torch.tensor([[0.0, 0.0, 64.0, 64.0]])]
    assert near(pool(squares, wide, [(256, 256)])[0, 0, 0], [17.5, 137.5])
    assert not near(AlignedRoIAlign(strides, 2, 2)(squares, wide, [(256, 256)])[0, 0, 0], [17.5, 137.5])
    levels = {str(i): torch.full_like(level, i) for i, level in enumerate(ramp)}
    sized = [torch.tensor([[0.0, 0.0, side, side]]) for side in (111.0, 112.0, 224.0, 448.0, 2000.0)]
    assert pool.map_levels(sized).tolist() == [0, 1, 2, 3, 3]
    # The largest reaches far beyond these maps, where nothing is.
    assert [float(pool(levels, [box], [(256, 256)])[0, 0, 0, 0]) for box in sized[:4]] == [0, 1, 2, 3]


def test_pooling_does_not_guess_its_scales() -> None:
    maps = {str(i): torch.zeros(1, 1, side, side) for i, side in enumerate((24, 12, 6, 3))}
    theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], 2, 0)
    theirs(maps, [torch.tensor([[0.0, 0.0, 8.0, 8.0]])], [(66, 66)])
    assert theirs.scales[0] == 0.5, "66 pixels padded to 96: torchvision takes stride 4 for 2"
    assert AlignedRoIAlign((4, 8, 16, 32), 2, 0).strides[0] == 4


def test_box_losses_by_hand() -> None:
    logits = torch.zeros(4, 3)
    deltas = torch.full((4, 12), 100.0)
    deltas[1, 8:] = torch.tensor([0.5, -1.0, 2.0, 1.0])
    labels, differences = torch.tensor([0, 2, 0, 0]), torch.zeros(4, 4)
    losses = BoxAndMaskHeads.compute_box_losses(logits, deltas, labels, differences)
    assert near(losses["loss_box_reg"], 4.5 / 4) and near(losses["loss_classifier"], math.log(3))
    assert not near(fastrcnn_loss(logits, deltas, [labels], [differences])[1], 4.5 / 4)


def test_true_masks_are_aligned_and_hard() -> None:
    masks = torch.zeros(2, 8, 8, dtype=torch.uint8)
    masks[1, :, :3] = 1
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    crop = BoxAndMaskHeads.crop_masks(masks, boxes, torch.tensor([1]), 4)
    # Cells of two pixels: full, half (which counts), empty, empty.
    assert near(crop, [[[1.0, 1.0, 0.0, 0.0]] * 4])
    theirs = project_masks_on_boxes(masks, boxes, torch.tensor([1]), 4)
    assert 0 < float(theirs[0, 1, 1]) < 1
    assert BoxAndMaskHeads.crop_masks(masks[:0], boxes[:0], torch.tensor([], dtype=torch.int64), 4).shape == (0, 4, 4)


def test_mask_loss_by_hand() -> None:
    logits = torch.full((2, 3, 1, 1), 100.0)
    logits[0, 1], logits[1, 2] = 0.0, math.log(3)
    loss = BoxAndMaskHeads.compute_mask_loss(logits, torch.tensor([[[1.0]], [[0.0]]]), torch.tensor([1, 2]))
    # log 2 for one half, and log 4 for a certainty of 3/4 in what is not there.
    assert near(loss, (math.log(2) + math.log(4)) / 2)
    assert float(BoxAndMaskHeads.compute_mask_loss(logits[:0], torch.zeros(0, 1, 1), torch.tensor([]))) == 0


@pytest.mark.parametrize(("size", "resized"), [((480, 640), (800, 1067)), ((400, 1000), (533, 1333))])
def test_sides_are_resized_to_the_nearest_pixel(size: tuple[int, int], resized: tuple[int, int]) -> None:
    with torch.device("meta"):
        image = torch.zeros(3, *size)
        target = {"boxes": torch.zeros(0, 4), "masks": torch.zeros(0, *size, dtype=torch.uint8)}
    transform = RoundedTransform(800, 1333, [0.5] * 3, [0.5] * 3)
    out, answer = transform.resize(image, target)
    assert out.shape[1:] == resized and answer["masks"].shape[1:] == resized


def test_images_are_normalised_resized_and_padded_and_boxes_with_them() -> None:
    transform = RoundedTransform(64, 96, [0.5, 0.25, 0.0], [0.5, 0.25, 1.0])
    image = torch.ones(3, 30, 40) * torch.tensor([1.0, 0.5, 0.25])[:, None, None]
    target = {"boxes": torch.tensor([[10.0, 3.0, 20.0, 6.0]]), "masks": torch.ones(1, 30, 40, dtype=torch.uint8)}
    batch, (answer,) = transform([image], [target])
    assert batch.image_sizes == [(64, 85)] and batch.tensors.shape == (1, 3, 64, 96)
    assert near(batch.tensors[0, :, 5, 5], [1.0, 1.0, 0.25]) and float(batch.tensors[..., 85:].abs().max()) == 0
    assert near(answer["boxes"], [[10 * 85 / 40, 3 * 64 / 30, 20 * 85 / 40, 6 * 64 / 30]])
    assert answer["masks"].shape == (1, 64, 85) and near(target["boxes"], [[10.0, 3.0, 20.0, 6.0]])
    theirs = GeneralizedRCNNTransform(64, 96, [0.5] * 3, [0.5] * 3)
    assert theirs([torch.ones(3, 30, 41)])[0].image_sizes == [(64, 87)]
    assert transform([torch.ones(3, 30, 41)])[0].image_sizes == [(64, 87)]
    assert theirs([torch.ones(3, 30, 44)])[0].image_sizes == [(64, 93)]
    assert transform([torch.ones(3, 30, 44)])[0].image_sizes == [(64, 94)]


def test_masks_are_put_back_at_pixel_centres() -> None:
    masks, boxes = torch.ones(1, 1, 28, 28), torch.tensor([[2.5, 2.0, 6.5, 6.0]])
    pasted = paste_masks(masks, boxes, (8, 9))
    assert pasted.shape == (1, 1, 8, 9)
    # The box cuts through the centres of columns 2 and 6, and covers those of rows 2 to 5 whole.
    assert near(pasted[0, 0, 3], [0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0])
    assert near(pasted[0, 0, :, 4], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    theirs = paste_masks_in_image(masks, boxes, (8, 9))
    assert not near(theirs[0, 0, :, 4], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0], atol=0.1)
    beyond = paste_masks(masks, torch.tensor([[-4.0, -4.0, 12.0, 12.0]]), (8, 9))
    assert float(beyond.min()) == 1.0
    assert paste_masks(masks[:0], boxes[:0], (8, 9)).shape == (0, 1, 8, 9)


def test_the_parts_themselves_are_torchvisions() -> None:
    detector = small_detector()
    assert isinstance(detector.rpn, RegionProposalNetwork) and isinstance(detector.rpn, ProposalNetwork)
    assert isinstance(detector.roi_heads.box_roi_pool, MultiScaleRoIAlign)
    assert isinstance(detector.rpn.head, nn.Module) and type(detector.rpn.head).__module__.startswith("torchvision")
