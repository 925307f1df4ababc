"""Damaged photos: the check and the training's reader say the same; a small version."""

import mutated_images


def test_check_and_reader_agree_on_damaged_photos():
    table, facts = mutated_images.ask_both(250, seed=1)

    assert facts["n_disagreements"] == 0
    assert facts["slowest_seconds"] < mutated_images.ALLOWED_SECONDS
    assert set(table["damage"]) == set(mutated_images.DAMAGES)
    assert 0 < table["refused"].sum() < 250
