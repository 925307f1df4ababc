"""The same-encounter rule, on cases worked by hand and against a loop over all pairs."""

from common.splits.encounters import has_match, is_met, same_encounter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

PHOTOS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("123")), max_size=12)


def columns(photos):
    """Identities, and encounters of one animal each, such as "a1"."""
    return (
        np.array([animal for animal, _ in photos], dtype=str),
        np.array([animal + day for animal, day in photos], dtype=str),
    )


@given(PHOTOS, PHOTOS)
def test_a_match_is_a_photo_of_the_animal_from_another_encounter(query, gallery):
    (names, encounters), (other_names, other_encounters) = columns(query), columns(gallery)

    found = has_match(
        query_identities=names, gallery_identities=other_names,
        query_encounters=encounters, gallery_encounters=other_encounters,
    )  # fmt: skip

    assert found.tolist() == [
        any(animal == other and day != another for other, another in gallery)
        for animal, day in query
    ]


@given(PHOTOS, PHOTOS)
def test_a_query_is_met_where_the_rule_ignores_a_photo(query, gallery):
    encounters, others = columns(query)[1], columns(gallery)[1]

    ignored = same_encounter(encounters[:, None], others)  # (n_query, n_gallery)

    assert is_met(encounters, others).tolist() == ignored.any(axis=1).tolist()


def test_codes_and_names_give_the_same():
    names = np.array(["may", "june", "may"])
    codes = np.array([4, 2, 4])

    assert np.array_equal(same_encounter(names, names[0]), same_encounter(codes, codes[0]))
