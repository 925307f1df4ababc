"""Re-ranking and details are compared with the embedding, on settings of validation photos."""

import json
import re

from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.ending import run_script
from common.experiments.answers import ask_embedding
from common.matching.local_features import LocalFeatures
from common.matching.matchers import why_missing
from common.matching.pair_scores import PairScores
from common.matching.reordering import (
    EMBEDDING,
    RERANKED,
    Settings,
    choose_details,
    choose_settings,
    details_alone,
    follow,
    learn_routes,
    rerank,
)
from common.matching.shortlists import Asked
from common.models.backbones import load_backbone
from common.models.extraction import extract
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier
from common.models.storage import save_recogniser
from common.splits.questions import questions_of
from common.splits.splits import make_split

import numpy as np
import pytest
from script_runs import help_of, load_main

SCRIPT = "week3/compare_rankings"
SIFT_WAYS = ["SIFT alone", "embedding + SIFT"]
WAYS = [EMBEDDING, RERANKED, *SIFT_WAYS]


@pytest.fixture(scope="module")
def compared(turtles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rankings")
    return load_main(SCRIPT)(
        ["--smoke", "--matchers", "sift", "--data_dir", str(turtles), "--output_dir", str(folder)]
    ), folder  # fmt: skip


def test_a_smoke_run_returns_what_it_stores(compared):
    result, folder = compared

    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result
    assert {path.name for path in folder.iterdir()} == {
        "written.jsonl", "result.json", "report.html", "rankings.png", "seconds.png", "details.png",
    }  # fmt: skip


def test_every_way_is_asked_and_priced(compared):
    tables = compared[0]["tables"]

    assert [row["way"] for row in tables["What each way finds"]] == WAYS
    assert [row["way"] for row in tables["What each way costs"]] == WAYS
    assert all(row["s per query"] > 0 for row in tables["What each way costs"])


def test_every_other_way_is_compared_with_the_embedding_on_both_questions(compared):
    rows = compared[0]["tables"][f"Against {EMBEDDING}"]

    assert [(row["question"], row["way"]) for row in rows] == [
        (question, way) for question in ("known animals", "joined later") for way in WAYS[1:]
    ]
    for row in rows:
        is_apart = row["mAP gained_low"] > 0 or row["mAP gained_high"] < 0
        assert (row["by mAP"] != "not distinguishable") == is_apart


def test_the_embedding_alone_answers_as_in_the_comparison_of_approaches(compared, catalogue):
    [alone] = [row for row in compared[0]["tables"]["What each way finds"]
               if row["way"] == EMBEDDING]  # fmt: skip
    questions = questions_of(catalogue, make_split(catalogue))
    backbone = load_backbone("efficientnet_lite0", image_size=64)
    pixels = read_photos(catalogue.paths(), backbone.preprocessing.stored_size, progress=False)
    photos = PhotoDataset(
        pixels, np.zeros(len(pixels)), evaluation_transform(backbone.preprocessing)
    )
    embeddings = extract(
        Recogniser(backbone, EmbeddingHead(backbone.n_features)), photos, progress=False
    )

    answers = ask_embedding(embeddings, questions, catalogue)

    assert alone["known animals, rank-1"] == pytest.approx(answers.known.mean())
    assert alone["joined later, rank-1"] == pytest.approx(answers.joined.mean())


class Told:
    """A matcher whose scores are told beforehand; it remembers what it was asked."""

    n_points, descriptor = 1, np.dtype((np.float16, 2))

    def __init__(self, name, table):
        self.name, self.recipe, self.table, self.asked = name, f"{name} told", table, []

    def describe(self, paths, masks=None):
        places = [[[float(path.stem), 0.0]] for path in paths]
        return [
            LocalFeatures(np.array(place, np.float32), np.zeros((1, 2), np.float16), (1, 1))
            for place in places
        ]

    def scores(self, query, candidates):
        at = [int(each.points[0, 0]) for each in candidates]
        self.asked += at
        return self.table[int(query.points[0, 0]), at].astype(float)


def made_up(seed, n_query=40, n_gallery=60):
    """Queries whose details tell the truth and whose embedding nearly nothing."""
    generator = np.random.default_rng(seed)
    n = n_query + n_gallery
    embeddings = generator.normal(size=(n, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels, rows = generator.integers(0, 6, n), np.arange(n)
    is_same = labels[:, None] == labels
    asked = Asked(
        rows[:n_query], rows[n_query:], embeddings, labels.astype(str), encounter=rows,
        n_candidates=20,
    )  # fmt: skip
    return asked, labels, {"xfeat": 8, "aliked": 30}, is_same, generator


def told(folder, seed=0):
    """The same with matchers of which the dearer one is surer, on files that stand for photos."""
    asked, labels, means, is_same, generator = made_up(seed)
    paths = [folder / f"{row}.jpg" for row in range(len(labels))]
    for path in paths:
        path.write_text(f"{seed} {path.name}")
    tables = {name: generator.poisson(np.where(is_same, mean, 4)) for name, mean in means.items()}
    rows = np.arange(len(labels))
    return asked, labels, {
        name: PairScores(Told(name, table), paths, rows, folder / "cache")
        for name, table in tables.items()
    }  # fmt: skip


def test_validation_takes_the_reranking_with_the_highest_map():
    asked = made_up(0)[0]

    settings, value = choose_settings([asked])

    for other in (settings, Settings(20, 6, 0.3), Settings(5, 2, 0.1), Settings(10, 4, 0.7)):
        assert value >= asked.evaluate(rerank(asked, other).block).mAP - 1e-9


def test_each_kind_of_details_finds_more_on_photos_that_nothing_was_learned_on(tmp_path):
    for name in ("taught", "asked"):
        (tmp_path / name).mkdir()
    taught, labels, scores = told(tmp_path / "taught")
    routes = learn_routes([taught], labels, scores, 20)
    asked, labels, scores = told(tmp_path / "asked", seed=1)

    found = [asked.evaluate(asked.cosines).mAP]
    found += [
        asked.evaluate(follow(route, asked, labels, scores, way)[0]).mAP
        for way, route in routes.items()
    ]

    assert list(routes) == [
        "embedding + XFeat", "embedding + XFeat + LightGlue (ALIKED)",
        "cascade to LightGlue (ALIKED)",
    ]  # fmt: skip
    assert found[1] > found[0] + 0.1
    assert found[2] > found[1] + 0.02


def test_a_cascade_puts_the_same_animal_first_for_fewer_pairs(tmp_path):
    taught, labels, scores = told(tmp_path)
    routes = learn_routes([taught], labels, scores, 20)
    _, full, cascade = routes.values()

    (all_pairs, n_all), (few_pairs, n_few) = (
        follow(route, taught, labels, scores, "way") for route in (full, cascade)
    )

    assert n_few < 0.8 * n_all
    both = [taught.identity[taught.first_rows(block)] for block in (all_pairs, few_pairs)]
    assert (both[0] == both[1]).mean() >= 0.95


def test_without_validation_nothing_is_learned_and_the_papers_settings_hold(tmp_path):
    asked, labels, scores = told(tmp_path)

    assert choose_settings([])[0] == Settings(20, 6, 0.3)
    assert learn_routes([], labels, scores, 20) == {}
    alone, _ = details_alone(asked, scores["aliked"])
    assert asked.evaluate(alone).mAP > asked.evaluate(asked.cosines).mAP


def test_a_pair_is_compared_once_also_by_a_later_run(tmp_path):
    _, _, scores = told(tmp_path)
    first = scores["xfeat"]

    with first.stored():
        once = first(3, np.array([5, 7]))
        assert np.array_equal(first(3, np.array([7, 5, 9]))[:2], once[::-1])
    again = told(tmp_path)[2]["xfeat"]

    assert np.array_equal(again(3, np.array([5, 7, 9]))[:2], once)
    assert first.matcher.asked == [5, 7, 9]
    assert again.matcher.asked == []


class Spotted(Told):
    """Photos have their animal's detail in the middle, and their place's, which counts more."""

    n_points = 2

    def describe(self, paths, masks=None):
        shown = [np.array(path.stem.split("-"), np.float16) for path in paths]
        points = np.array([[0.5, 0.4], [0.05, 0.9]], np.float32)
        return [
            LocalFeatures(points, np.array([[animal, 1], [place, 3]]), (1, 1))
            for _, animal, place in shown
        ]

    def scores(self, query, candidates):
        return np.array([
            sum(here[1] for here in query.descriptors for there in each.descriptors
                if (here == there).all())
            for each in candidates
        ])  # fmt: skip


@pytest.mark.parametrize("n_places", [1, 5])
def test_validation_says_whether_only_the_middle_of_a_photo_counts(tmp_path, n_places):
    asked, labels, *_ = made_up(0)
    places = np.random.default_rng(1).integers(0, n_places, len(labels))
    paths = [
        tmp_path / f"{row}-{animal}-{place}.jpg"
        for row, (animal, place) in enumerate(zip(labels, places, strict=True))
    ]
    for path in paths:
        path.write_text(path.name)
    scores = {"sift": PairScores(Spotted("sift", None), paths, np.arange(len(labels)), tmp_path)}

    chosen, values = choose_details([asked], scores)

    assert chosen["sift"].is_middle == (n_places > 1)
    assert (values["its middle"] > values["the whole photo"]) == (n_places > 1)
    assert chosen["sift"].describe(paths[0]).points.shape == (2 - chosen["sift"].is_middle, 2)


def test_a_damaged_store_of_pairs_is_compared_anew(tmp_path):
    with told(tmp_path)[2]["xfeat"].stored():
        pass
    scores = told(tmp_path)[2]["xfeat"]
    with scores.stored():
        once = scores(3, np.array([5]))
    [file] = (tmp_path / "cache" / "pairs").glob("xfeat-*.npy")
    file.write_bytes(file.read_bytes()[:-3])

    again = told(tmp_path)[2]["xfeat"]

    assert np.array_equal(again(3, np.array([5])), once)
    assert again.matcher.asked == [5]


def stored_model(folder, head):
    backbone = load_backbone("small_cnn", image_size=64)
    model = Recogniser(backbone, head(backbone.n_features))
    return save_recogniser(model, folder / "model.safetensors", ["a", "b"])


def test_a_trained_embedding_is_taken_as_it_is(turtles, tmp_path):
    model = stored_model(tmp_path, EmbeddingHead)

    result = load_main(SCRIPT)(
        ["--smoke", "--trained", str(model), "--data_dir", str(turtles), "--split", "disjoint",
         "--matchers", "sift", "--output_dir", str(tmp_path / "run")]
    )  # fmt: skip

    assert any("trained on" in note for note in result["notes"])
    assert "known animals, mAP" not in result["tables"]["What each way finds"][0]
    assert "never trained on, ranked, mAP" in result["tables"]["What each way finds"][0]


def test_a_classifier_is_refused(turtles, tmp_path, capsys):
    model = stored_model(tmp_path, lambda n_features: linear_classifier(n_features, 2))

    with pytest.raises(SystemExit) as ending:
        run_script(lambda: load_main(SCRIPT)(
            ["--smoke", "--trained", str(model), "--data_dir", str(turtles),
             "--output_dir", str(tmp_path / "run")]
        ))  # fmt: skip

    assert ending.value.code == 2
    assert "expected an embedding" in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(bool(why_missing("xfeat")), reason="XFeat's weights are not installed")
def test_xfeat_compares_all_photos_of_the_querys_side(turtles, tmp_path):
    result = load_main(SCRIPT)(
        ["--smoke", "--matchers", "xfeat", "--data_dir", str(turtles), "--output_dir",
         str(tmp_path / "run")]
    )  # fmt: skip

    pairs = {row["way"]: row["pairs"] for row in result["tables"]["What each way costs"]}
    [note] = [each for each in result["notes"] if "in the gallery" in each]
    n_gallery = int(re.search(r"(\d+) in the gallery", note)[1])
    assert 0.3 * n_gallery < pairs["XFeat alone"] == pairs["embedding + XFeat"] < 0.7 * n_gallery


@pytest.mark.parametrize(
    "flags", [["--shortlist", "1"], ["--trained", "nowhere.safetensors"], ["--matchers", "eyes"]]
)
def test_what_cannot_be_used_is_named_in_one_line(flags, capsys):
    with pytest.raises(SystemExit) as ending:
        run_script(lambda: load_main(SCRIPT)(flags))

    assert ending.value.code == 2
    assert flags[0] in capsys.readouterr().err.strip().splitlines()[-1]


def test_help_shows_the_flags(capsys):
    assert "--shortlist" in help_of(SCRIPT, capsys)
