"""Known animals by protocol: hand-worked rankings, and a loop in words as oracle."""

from common.data.catalogue import catalogue_from_table
from common.splits.splits import Split
from protocols import known_by_protocol

import numpy as np
import pandas as pd
import pytest

PUBLISHED, REMOVED = "as published", "same-encounter photos removed"
SAME_SIDE, OTHER_SIDE = "the same, same side only", "the same, other side only"

# identity, encounter, side, part, angle of the embedding in degrees (0 is most like the query)
ANNA_ASKED = [
    ("anna", "dive 1", "left", "test", 0),
    ("anna", "dive 1", "right", "train", 5),
    ("anna", "dive 2", "left", "validation", 30),
    ("anna", "dive 3", "right", "train", 40),
    ("berta", "dive 4", "left", "train", 20),
    ("berta", "dive 4", "right", "train", 60),
]


def study_of(photos):
    """The photos' catalogue, split and embeddings in the plane."""
    table = pd.DataFrame(photos, columns=["identity", "encounter", "side", "part", "angle"])
    table["path"] = [f"{row}.jpg" for row in range(len(table))]
    catalogue = catalogue_from_table(table.drop(columns=["part", "angle"]), "anywhere", "made")
    split = Split("given", "Made by hand.", 0, {}, table["part"].to_numpy(str))
    angle = np.deg2rad(table["angle"].to_numpy())
    return catalogue, split, np.stack([np.cos(angle), np.sin(angle)], axis=1)


def by_protocol(photos):
    catalogue, split, embeddings = study_of(photos)
    table = known_by_protocol({"made": embeddings}, catalogue, split)
    return table.set_index("protocol")


def test_a_photo_of_the_querys_encounter_counts_only_as_published():
    table = by_protocol(ANNA_ASKED)

    assert table["rank-1"][[PUBLISHED, REMOVED]].tolist() == [1, 0]
    # As published right photos stand at 1, 3 and 4; without the dive at 2 and 3.
    assert table["mAP"][PUBLISHED] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert table["mAP"][REMOVED] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_one_side_is_searched_at_a_time():
    table = by_protocol(ANNA_ASKED)

    assert table["rank-1"][[SAME_SIDE, OTHER_SIDE]].tolist() == [0, 1]
    assert table["mAP"][SAME_SIDE] == pytest.approx(1 / 2)


def test_validation_photos_are_in_the_gallery():
    only_match = [photo for photo in ANNA_ASKED if photo[1] in ("dive 1", "dive 2", "dive 4")]

    assert by_protocol(only_match)["without a match"][REMOVED] == 0


def test_a_query_without_a_match_is_a_miss_and_is_counted():
    own_dive_only = [photo for photo in ANNA_ASKED if photo[1] in ("dive 1", "dive 4")]
    berta_too = [*own_dive_only, ("berta", "dive 5", "left", "test", 19)]

    row = by_protocol(berta_too).loc[REMOVED]

    assert (row["queries"], row["without a match"]) == (2, 1)
    assert row["rank-1"] == 0.5
    assert row["rank-1 with a match"] == 1


def test_an_embedding_that_nobody_can_answer_with_gets_zeros():
    own_dive_only = [photo for photo in ANNA_ASKED if photo[1] in ("dive 1", "dive 4")]

    row = by_protocol(own_dive_only).loc[REMOVED]

    assert (row["without a match"], row["rank-1"], row["mAP"]) == (1, 0, 0)
    assert np.isnan(row["rank-1 with a match"])


def test_new_animals_are_not_asked():
    newcomer = ("carla", "dive 9", "left", "test", 90)

    assert by_protocol([*ANNA_ASKED, newcomer])["queries"][PUBLISHED] == 1


def test_without_sides_nothing_is_said_of_them():
    blind = [(identity, encounter, "", *rest) for identity, encounter, _, *rest in ANNA_ASKED]

    assert by_protocol(blind).index.tolist() == [PUBLISHED, REMOVED]


def test_a_split_that_keeps_encounters_together_has_no_such_table():
    apart = [photo for photo in ANNA_ASKED if photo[1] != "dive 1" or photo[3] == "test"]
    catalogue, split, embeddings = study_of(apart)

    empty = known_by_protocol({"made": embeddings}, catalogue, split)

    assert len(empty) == 0
    assert list(empty) == list(known_by_protocol({"made": study_of(ANNA_ASKED)[2]},
                                                 *study_of(ANNA_ASKED)[:2]))  # fmt: skip


def random_photos(n_images=160):
    rng = np.random.default_rng(3)
    identity = rng.integers(0, 12, n_images)
    dive = rng.integers(0, 4, n_images)
    return [
        (f"animal {animal}", f"{animal}, dive {number}", side, part, angle)
        for animal, number, side, part, angle in zip(
            identity, dive, rng.choice(["left", "right", ""], n_images),
            rng.choice(["train", "validation", "test"], n_images, p=[0.3, 0.1, 0.6]),
            rng.uniform(0, 360, n_images), strict=True,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", [PUBLISHED, REMOVED, SAME_SIDE, OTHER_SIDE])
def test_rank_1_is_what_a_loop_in_words_finds(protocol):
    photos = random_photos()
    _, _, embeddings = study_of(photos)
    is_right, n_without = [], 0
    for query, (animal, dive, side, part, _) in enumerate(photos):
        if part != "test" or (protocol in (SAME_SIDE, OTHER_SIDE) and not side):
            continue
        allowed = [
            row for row, (other, its_dive, its_side, its_part, _) in enumerate(photos)
            if its_part in ("train", "validation")
            and not (protocol != PUBLISHED and its_dive == dive)
            and not (protocol == SAME_SIDE and its_side != side)
            and not (protocol == OTHER_SIDE and its_side in ("", side))
        ]  # fmt: skip
        n_without += animal not in {photos[row][0] for row in allowed}
        best = max(allowed, key=lambda row: embeddings[row] @ embeddings[query])
        is_right.append(photos[best][0] == animal)

    row = by_protocol(photos).loc[protocol]

    assert (row["queries"], row["without a match"]) == (len(is_right), n_without)
    assert row["rank-1"] == pytest.approx(np.mean(is_right))
    assert row["rank-1_low"] < row["rank-1"] < row["rank-1_high"]
