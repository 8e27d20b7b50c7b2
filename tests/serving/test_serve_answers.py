"""Does the server answer as rapidnet predict does, for every task, and say which network answered?"""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from servers import CLASSES, Server, encode, make_classifier, make_dense, serve, share

from rapidnet.config import PredictConfig
from rapidnet.errors import UserError
from rapidnet.evaluation.predict import run_predict
from rapidnet.runtimes.bundle import open_bundle, read_card
from rapidnet.serving.answers import bound_pixels, build_answerer

SIZES = ((90, 60), (64, 64), (50, 120), (400, 300))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed, size in enumerate(SIZES):
        (folder / f"{seed}.png").write_bytes(encode(size, seed=seed))
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "turned.jpg").write_bytes(encode((80, 50), "JPEG", seed=9, exif=exif))
    return folder


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {head: share(tmp_path_factory, head, make_dense(head)) for head in ("fcos", "semantic_fpn")}
    return found | {"classifier": share(tmp_path_factory, "classifier", make_classifier)}


@pytest.fixture(
    scope="module",
    params=["classifier", "fcos", "semantic_fpn", pytest.param("mask_rcnn", marks=pytest.mark.slow)],
)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, Server]]:
    name = request.param
    bundle = share(tmp_path_factory, name, make_classifier if name == "classifier" else make_dense(name))
    with serve(bundle) as server:
        yield name, bundle, server


def predict(bundle: Path, images: Path, capsys: pytest.CaptureFixture, **options: Any) -> list[dict[str, Any]]:
    """What rapidnet predict --json says, without the files' names."""
    assert run_predict(PredictConfig(str(bundle), str(images), json=True, batch_size=1, **options)) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [{key: value for key, value in row.items() if key != "image"} for row in rows]


def test_answers_are_those_of_predict(
    served: tuple[str, Path, Server], pictures: Path, capsys: pytest.CaptureFixture
) -> None:
    name, bundle, server = served
    paths = sorted(pictures.iterdir())
    expected = predict(bundle, pictures, capsys)
    for path, row in zip(paths, expected, strict=True):
        response = server.post(path.read_bytes())
        assert response.status_code == 200, response.text
        (result,) = response.json()["results"]
        result.pop("class_map", None)
        assert result == row
    assert len({json.dumps(row) for row in expected}) == len(paths), "each picture has its own answer"
    card = read_card(bundle)
    told = response.json()
    assert told["bundle"] == bundle.name and told["sha256"] == card["files"]["model.onnx"]
    if name in ("fcos", "mask_rcnn"):
        assert any(row["detections"] for row in expected)


def test_several_pictures_in_one_form_keep_their_order(
    served: tuple[str, Path, Server], pictures: Path, capsys: pytest.CaptureFixture
) -> None:
    name, bundle, server = served
    paths = sorted(pictures.iterdir())
    results = server.upload(*((path.name, path.read_bytes()) for path in paths)).json()["results"]
    for result, row in zip(results, predict(bundle, pictures, capsys), strict=True):
        result.pop("class_map", None)
        if name == "classifier":
            # They shared a batch: the last digits may differ.
            assert [one["class"] for one in result["predictions"]] == [one["class"] for one in row["predictions"]]
            given = [one["probability"] for one in result["predictions"]]
            assert given == pytest.approx([one["probability"] for one in row["predictions"]], abs=3e-6)
        else:
            assert result == row


def test_a_class_map_holds_the_class_of_every_pixel(bundles: dict[str, Path], pictures: Path) -> None:
    path, bundle = pictures / "3.png", open_bundle(bundles["semantic_fpn"])
    with serve(bundles["semantic_fpn"]) as server:
        (result,) = server.post(path.read_bytes()).json()["results"]
    with Image.open(io.BytesIO(base64.b64decode(result["class_map"]))) as image:
        assert np.array_equal(np.asarray(image), bundle.answer(path)["semantic"])
    assert (result["width"], result["height"]) == SIZES[3] and sum(row["share"] for row in result["classes"]) > 0.999


def test_top_and_threshold(bundles: dict[str, Path], pictures: Path, capsys: pytest.CaptureFixture) -> None:
    data = (pictures / "0.png").read_bytes()
    with serve(bundles["classifier"]) as server:
        for top, count in ((1, 1), (7, 7), (1000, 10)):
            (result,) = server.post(data, "image/png", top=top).json()["results"]
            assert len(result["predictions"]) == count and result["predictions"][0]["class"] in CLASSES
        refused = server.post(data, threshold=0.5)
        assert refused.status_code == 422 and refused.json()["error"]["field"] == "threshold"
        with server.client() as client:
            told = client.get("/v1/model").json()
        assert told["classes"] == CLASSES and told["certificate"] == "passed" and "onnxruntime" in told["runtime"]
    with serve(bundles["fcos"]) as server:
        counts = []
        for threshold in (0.0, 0.62, 1.0):
            (result,) = server.post(data, threshold=threshold).json()["results"]
            assert result == predict(bundles["fcos"], pictures / "0.png", capsys, threshold=threshold)[0]
            counts.append(len(result["detections"]))
        assert counts[0] > counts[-1] == 0
        assert server.post(data, top=3).status_code == 422


def test_features_alone_are_no_answers(bundles: dict[str, Path]) -> None:
    bundle = open_bundle(bundles["fcos"])
    card = {key: value for key, value in bundle.card.items() if key != "answers"}
    with pytest.raises(UserError, match="answers with boxes, scores alone; export it with --part whole"):
        build_answerer(replace(bundle, card=card), 1000)


def test_masks_bound_the_picture(bundles: dict[str, Path]) -> None:
    bundle = open_bundle(bundles["fcos"])
    assert bound_pixels(bundle, 25_000_000) == 25_000_000
    outputs = [{"name": "masks", "shape": [1, 100, 28, 28]}]
    assert bound_pixels(replace(bundle, card=bundle.card | {"outputs": outputs}), 25_000_000) == (1 << 30) // 100
