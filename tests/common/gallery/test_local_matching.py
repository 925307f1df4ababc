"""Details in a gallery: kept with its photos, learned from, asked; and what happens without."""

import json
import pickle
import shutil
from dataclasses import replace

from common.data.catalogue import load_catalogue
from common.files import write_array
from common.gallery import embedding, enrolment, learned_matching, local_matching
from common.gallery.gallery import Gallery
from common.gallery.identification import Question, rank_animals
from common.gallery.learned_matching import Effort, learn_matching, to_describe
from common.gallery.local_matching import ABOUT, installed, open_matching
from common.matching import budget
from common.matching.details import FOLDER, drop_details, read_details, store_details

import numpy as np
import pytest
from PIL import Image
from quick_matchers import Colours, two_stages


@pytest.fixture(scope="module", autouse=True)
def quick():
    with two_stages():
        yield


@pytest.fixture(scope="module")
def whole(turtles, tmp_path_factory):
    """A gallery with details and what they mean; its folder, and its photos."""
    folder = tmp_path_factory.mktemp("gallery")
    catalogue = load_catalogue(turtles)
    untrained = {"model": "small_cnn", "weights": "none", "image_size": 64}
    found = {name: Colours(name) for name in ("quick", "slow")}
    gallery, _ = enrolment.new_gallery(
        catalogue, folder, None, **untrained, device="cpu", matchers=found
    )
    gallery.about["details"] = [*found]
    assert "learned from" in learn_matching(gallery, folder, found)
    enrolment.save_gallery(gallery, folder)
    return folder, catalogue.paths()


@pytest.fixture
def folder(whole, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(whole[0], tmp_path / "gallery")
    return tmp_path / "gallery"


def ask(folder, photos, seconds=3.0):
    """What a gallery answers about each photo; and the plan, or why there is none."""
    gallery = enrolment.open_gallery(folder)
    embeddings = embedding.embed(embedding.network_of(gallery), photos, device="cpu")
    questions = [Question(each[None], [""]) for each in embeddings]
    matching, fault = open_matching(gallery, folder, "cpu")
    if matching is None:
        return rank_animals(gallery, questions), fault
    plan = matching.plan_within(seconds, photos[0], 1)
    return matching.rank(gallery, questions, [[each] for each in photos], plan, 5), plan


def test_a_photo_of_the_gallery_is_found_first(whole):
    folder, photos = whole
    facts = Gallery.load(folder).facts
    rankings, _ = ask(folder, photos[:6])
    assert [each.candidates[0].row for each in rankings] == list(range(6))
    assert [each.candidates[0].identity for each in rankings] == facts["identity"][:6].tolist()
    assert all(0 < one.similarity < 1 for each in rankings for one in each.candidates)


@pytest.mark.parametrize(
    ("seconds", "pairs"), [(0.5, [2000]), (1.0, [2000, 5]), (1.5, [2000, 10]), (9.0, [2000, 20])]
)
def test_more_time_compares_more(whole, seconds, pairs):
    _, plan = ask(*whole, seconds)
    assert [each.n_pairs for each in plan.stages] == pairs


def test_a_time_that_suffices_for_nothing_has_no_plan(whole):
    matching, _ = open_matching(Gallery.load(whole[0]), whole[0], "cpu")
    assert matching.plan_within(0.01, whole[1][0], 1) is None


def test_each_plan_knows_what_validation_photos_got_with_it(whole):
    matching, _ = open_matching(Gallery.load(whole[0]), whole[0], "cpu")
    for plan in matching.plans:
        asked = plan.scores.photos
        assert {True, False} == set(asked.is_known)
        assert all(0 < one < 1 for each in asked.similarities for one in each)
        assert len(plan.scores.encounters) > 0


def test_a_photo_that_was_asked_in_validation_gets_the_same_when_it_is_asked_again(whole):
    folder, photos = whole
    gallery = Gallery.load(folder)
    matching, _ = open_matching(gallery, folder, "cpu")
    learned = matching.plans[-1].scores.photos
    facts, emptied = gallery.facts, Gallery.load(folder)
    row = 0
    own = (facts["identity"] == facts["identity"][row]) & (
        facts["encounter"] == facts["encounter"][row]
    )
    emptied.forget(np.flatnonzero(own))
    side = facts["side"][row]
    question = Question(gallery.embeddings_at([row]), [side])
    smaller, _ = open_matching(emptied, folder, "cpu")
    [ranking] = smaller.rank(emptied, [question], [[photos[row]]], matching.plans[-1], 5)
    expected = learned.similarities[0]  # of the first row, which is asked as known
    assert np.allclose([each.similarity for each in ranking.candidates], expected)


def test_what_joins_is_described_alone(folder, whole, turtles, tmp_path):
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(tmp_path / "anna.png")
    store_details(matcher := Colours("quick"), [*whole[1], tmp_path / "anna.png"],
                  [*Gallery.load(folder).facts["picture"], "ab" * 16], folder)  # fmt: skip
    assert matcher.described == [tmp_path / "anna.png"]


def test_details_of_photos_that_cannot_come_back_are_deleted(folder):
    names = Gallery.load(folder).facts["picture"].tolist()
    n_before = len(list((folder / FOLDER).iterdir()))
    drop_details(folder, names)
    assert len(list((folder / FOLDER).iterdir())) == n_before
    drop_details(folder, [])
    assert not list((folder / FOLDER).iterdir())


def test_an_animal_that_is_renamed_keeps_its_details(folder, whole):
    gallery = enrolment.open_gallery(folder)
    gallery.rename(gallery.identities[0], "Anna")
    enrolment.save_gallery(gallery, folder, {"what": ["renamed"]})
    assert ask(folder, whole[1][:1])[1].stages


def damage(file):
    file.write_bytes(file.read_bytes()[:-10])


def foreign(file):
    write_array(file, [np.zeros(3)], (3,), np.dtype(float))


def pickled(file):
    file.write_bytes(pickle.dumps({"key": [1]}))


def link(file):
    target = file.parents[1] / "elsewhere.npy"
    file.rename(target)
    file.symlink_to(target)


def missing(file):
    file.unlink()


@pytest.mark.parametrize("harm", [damage, foreign, pickled, link, missing])
def test_where_details_are_not_whole_one_line_says_so_and_the_embedding_answers(
    folder, whole, harm
):
    for file in sorted((folder / FOLDER).iterdir()):  # both stages' are the same here
        harm(file)
        break
    rankings, fault = ask(folder, whole[1][:2])
    assert fault.startswith("The embedding answers alone")
    assert str(folder) in fault
    assert "\n" not in fault
    assert [each.candidates[0].row for each in rankings] == [0, 1]


@pytest.mark.parametrize("value", [{}, {"plans": []}, 7, {"cascade": 1, "plans": 2}])
def test_what_was_learned_and_is_damaged_leaves_the_embedding(folder, whole, value):
    gallery = enrolment.open_gallery(folder)
    gallery.about[ABOUT] = value
    gallery.save(folder)
    rankings, fault = ask(folder, whole[1][:1])
    assert rankings[0].candidates[0].row == 0
    assert isinstance(fault, str)


def test_a_gallery_without_details_is_read_and_asked_as_before(folder, whole):
    gallery = enrolment.open_gallery(folder)
    del gallery.about[ABOUT]
    gallery.save(folder)
    rankings, fault = ask(folder, whole[1][:1])
    assert rankings[0].candidates[0].similarity == pytest.approx(1, abs=1e-4)  # a cosine
    assert fault == ""


def test_without_the_weights_the_embedding_answers_and_one_line_says_how_to_get_them(
    folder, whole, monkeypatch
):
    from common.matching import networks

    monkeypatch.setitem(networks.WEIGHTS, "xfeat", ("no_such_package", "weights.pt"))
    monkeypatch.setattr(local_matching, "CASCADE", ("xfeat",))
    installed.cache_clear()
    gallery = enrolment.open_gallery(folder)
    matching, fault = open_matching(gallery, folder, "cpu")
    installed.cache_clear()
    assert matching is None
    assert "pip install" in fault


def test_too_few_photos_teach_nothing_and_the_note_says_so(whole, monkeypatch):
    gallery = enrolment.open_gallery(whole[0])
    del gallery.about[ABOUT]
    monkeypatch.setattr(learned_matching, "FEWEST_ASKED", 10_000)
    note = learn_matching(gallery, whole[0], installed("cpu")[0])
    assert "expected 10000 or more" in note
    assert ABOUT not in gallery.about


def test_photos_that_were_trained_on_are_not_asked(whole, monkeypatch):
    gallery = enrolment.open_gallery(whole[0])
    facts = gallery.facts
    animals = np.unique(facts["identity"])
    is_old = np.isin(facts["identity"], animals[: len(animals) // 2])
    trained = is_old & (np.arange(len(is_old)) % 2 == 0)
    names = [name[:12] for name in facts["picture"][trained]]
    description = {"scores": {"trained_photos": names}}
    monkeypatch.setattr(learned_matching, "read_description", lambda path: description)
    known, new, _ = learned_matching.rows_to_ask(gallery, facts, 1000)
    assert not trained[known].any()
    assert not is_old[new].any()
    assert set(new) <= set(known)


def test_a_model_that_does_not_tell_what_it_was_trained_on_teaches_nothing(whole, monkeypatch):
    gallery = enrolment.open_gallery(whole[0])
    monkeypatch.setattr(learned_matching, "read_description", lambda path: {"scores": {}})
    *_, reason = learned_matching.rows_to_ask(gallery, gallery.facts, 1000)
    assert "train it anew" in reason


def test_details_that_name_fewer_right_than_the_embedding_are_left_out(folder, monkeypatch):
    gallery = enrolment.open_gallery(folder)
    del gallery.about[ABOUT]
    ask = learned_matching._Asked._scores

    def worse(self, cascade, questions, stages):
        scores = ask(self, cascade, questions, stages)
        nothing = replace(scores.photos, right_place=[-1] * len(scores.photos))
        return replace(scores, photos=nothing) if stages else scores

    monkeypatch.setattr(learned_matching._Asked, "_scores", worse)

    note = learn_matching(gallery, folder, installed("cpu")[0])

    assert note.startswith("The embedding answers alone: of 100 photos of the gallery")
    assert note.endswith("right, with their details 0.")
    assert learn_matching(gallery, folder, installed("cpu")[0]) == ""
    gallery.save(folder)
    matching, told = open_matching(Gallery.load(folder), folder, "cpu")
    assert matching is None
    assert told == note


def test_where_no_animal_was_met_twice_the_embedding_answers_alone(whole):
    gallery = enrolment.open_gallery(whole[0])
    del gallery.about[ABOUT]
    for row, name in enumerate(gallery.facts["identity"]):
        gallery.relabel([row], name, {"encounter": name})

    note = learn_matching(gallery, whole[0], installed("cpu")[0])

    assert "the embedding answers alone: no animal here was met in two encounters" in note
    assert ABOUT not in gallery.about


def test_of_many_photos_only_the_quick_details_are_found(monkeypatch):
    monkeypatch.setattr(learned_matching, "ON_CPU", Effort(10, 10, 5))
    found = {"quick": Colours("quick"), "slow": Colours("slow")}
    assert [*to_describe(found, 10)] == ["quick", "slow"]
    assert [*to_describe(found, 11)] == ["quick"]


def test_what_a_machine_takes_is_measured_once(whole, tmp_path):
    features = read_details(Colours("quick"), Gallery.load(whole[0]).facts["picture"], whole[0])[0]
    first = budget.cost_of(matcher := Colours("quick"), whole[1][0], features[:8], tmp_path)
    n_described = len(matcher.described)
    again = budget.cost_of(matcher, whole[1][0], features[:8], tmp_path)
    assert first == again
    assert len(matcher.described) == n_described
    assert json.loads((tmp_path / budget.COSTS).read_text())
