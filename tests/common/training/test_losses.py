"""Every loss equals its formula, in value and gradient; lengths, order and names don't matter."""

import inspect
import math

from common.errors import InputError
from common.training.checkpoints import key_of
from common.training.losses import LOSSES, build_loss, loss_table, options_of

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_oracles import GRADIENTS, ORACLES, circle, numerical_gradient

N_IDENTITIES, N_PHOTOS, DIM = 4, 3, 5
LABELS = np.repeat(np.arange(N_IDENTITIES), N_PHOTOS)
FROM_CENTRES = [name for name, row in LOSSES.items() if row.compares == "centres"]


def a_batch(seed=0):
    """Embeddings of any length; photos of an animal are somewhat alike."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(N_IDENTITIES, 1, DIM))
    own = rng.normal(size=(N_IDENTITIES, N_PHOTOS, DIM))
    return (shared + own).reshape(-1, DIM)


def library(name, x, labels=LABELS, **options):
    """Value, gradient with respect to the embeddings, and the criterion."""
    criterion = build_loss(name, N_IDENTITIES, x.shape[1], **options)
    embeddings = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    value = criterion(embeddings, torch.as_tensor(labels))
    value.backward()
    return value.item(), embeddings.grad.numpy(), criterion


def centres_of(name, criterion):
    """The weights of a criterion, and their gradient, as (n_identities, n_centres, dim)."""
    [weights] = criterion.parameters()
    arrays = [weights.detach().numpy().astype(float), weights.grad.numpy()]
    if name == "proxy_anchor":
        return [array[:, None] for array in arrays]
    return [array.T.reshape(N_IDENTITIES, -1, DIM) for array in arrays]


def oracle_of(name, criterion, x, **options):
    """The oracle as a function of the embeddings, and of the centres where it has them."""
    options = options_of(name, **options)
    if name in FROM_CENTRES:
        centres = centres_of(name, criterion)[0]
        return lambda at, at_centres=centres: ORACLES[name](at, LABELS, at_centres, **options)
    if name == "circle":
        return lambda at: circle(at, LABELS, held=x, **options)
    return lambda at: ORACLES[name](at, LABELS, **options)


CASES = [(name, {}) for name in LOSSES] + [
    ("contrastive", {"margin": 0.6}), ("triplet", {"margin": 0.7}),
    ("multi_similarity", {"margin": 0.0, "scale": 10.0}), ("supcon", {"scale": 30.0}),
    ("circle", {"margin": 0.4, "scale": 8.0}), ("proxy_anchor", {"margin": 0.3, "scale": 8.0}),
    ("arcface", {"margin": 1.2, "scale": 8.0}), ("arcface", {"margin": 0.0}),
    ("subcenter_arcface", {"margin": 1.0, "scale": 8.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_value_and_gradient_equal_the_formula(name, options, seed):
    x = a_batch(seed)

    value, gradient, criterion = library(name, x, **options)

    oracle = oracle_of(name, criterion, x, **options)
    expected = numerical_gradient(oracle, x)
    assert value == pytest.approx(oracle(x), rel=1e-4)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_equals_the_one_worked_out_on_paper(name, seed):
    x = a_batch(seed)

    _, gradient, criterion = library(name, x)

    centres = [centres_of(name, criterion)[0]] if name in FROM_CENTRES else []
    expected = GRADIENTS[name](x, LABELS, *centres, **options_of(name))
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", FROM_CENTRES)
def test_the_gradient_of_the_centres_equals_the_formula(name):
    x = a_batch()

    _, _, criterion = library(name, x)

    centres, gradient = centres_of(name, criterion)
    oracle = oracle_of(name, criterion, x)
    expected = numerical_gradient(lambda at: oracle(x, at), centres)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["arcface", "subcenter_arcface"])
def test_an_angle_beyond_the_margin_still_costs_more(name):
    """Past 180 degrees minus the margin a cosine would rise again; the loss must not fall."""
    criterion = build_loss(name, 2, 3, margin=0.5)
    [weights] = criterion.parameters()  # (embedding_dim, n_identities · n_centres)
    with torch.no_grad():
        weights.zero_()
        first, second = weights.chunk(2, dim=1)
        first[0], second[2] = 1.0, 1.0
    angles = torch.linspace(
        2.0, math.pi - 0.01, 20
    )  # from the first, at right angles to the second
    photos = torch.stack([angles.cos(), angles.sin(), torch.zeros(20)], dim=1)

    losses = [criterion(photo[None], torch.tensor([0])).item() for photo in photos]

    assert losses == sorted(losses)


BATCHES = given(
    name=st.sampled_from(list(LOSSES)), seed=st.integers(0, 10_000),
    lengths=st.lists(st.floats(0.01, 100), min_size=len(LABELS), max_size=len(LABELS)),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@BATCHES
def test_the_length_of_an_embedding_does_not_matter(name, seed, lengths):
    x = a_batch(seed)

    longer = x * np.array(lengths)[:, None]

    assert library(name, longer)[0] == pytest.approx(library(name, x)[0], rel=1e-3, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(list(LOSSES)), seed=st.integers(0, 10_000), data=st.data())
def test_the_order_of_a_batch_does_not_matter(name, seed, data):
    x, order = a_batch(seed), data.draw(st.permutations(range(len(LABELS))))

    value, gradient, _ = library(name, x)
    mixed_value, mixed_gradient, _ = library(name, x[order], LABELS[order])

    assert mixed_value == pytest.approx(value, rel=1e-3, abs=1e-5)
    np.testing.assert_allclose(mixed_gradient, gradient[order], rtol=1e-2, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from([name for name in LOSSES if name not in FROM_CENTRES]),
    seed=st.integers(0, 10_000), names=st.permutations(range(N_IDENTITIES)),
)  # fmt: skip
def test_the_names_of_animals_do_not_matter(name, seed, names):
    x = a_batch(seed)

    renamed = library(name, x, np.array(names)[LABELS])[0]

    assert renamed == pytest.approx(library(name, x)[0], rel=1e-4)


def gap_of(x):
    """Mean cosine of photos of one animal, minus that of photos of two."""
    unit = torch.nn.functional.normalize(x.detach()).numpy()
    cosines, same = unit @ unit.T, LABELS[:, None] == LABELS
    return cosines[same].mean() - cosines[~same].mean()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "subcenter_arcface"])
def test_following_the_gradient_parts_the_animals(name):  # sub-centres may leave one in two places
    x = torch.tensor(a_batch(), dtype=torch.float32, requires_grad=True)
    criterion, before = build_loss(name, N_IDENTITIES, DIM), gap_of(x)
    optimizer = torch.optim.Adam([x, *criterion.parameters()], lr=0.1)

    for _ in range(30):
        optimizer.zero_grad()
        criterion(x, torch.as_tensor(LABELS)).backward()
        optimizer.step()

    assert gap_of(x) > before + 0.1


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_gives_the_loss_of_full_precision(name):
    x = torch.tensor(a_batch(), dtype=torch.bfloat16)
    criterion, labels = build_loss(name, N_IDENTITIES, DIM), torch.as_tensor(LABELS)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = criterion(x, labels)

    assert loss.dtype == torch.float32
    assert loss.item() == criterion(x.float(), labels).item()


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_two_photos_of_an_animal_gives_a_finite_loss(name):
    value, gradient, _ = library(name, a_batch()[:N_IDENTITIES], np.arange(N_IDENTITIES))

    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOSSES)
def test_two_settings_of_a_loss_can_be_told_apart(name):
    """Otherwise a killed run would be continued with another margin."""
    [(option, value)] = list(LOSSES[name].options.items())[:1]

    other = build_loss(name, 3, 4, **{option: value / 2})

    assert key_of(build_loss(name, 3, 4)) == key_of(build_loss(name, 3, 4)) != key_of(other)


@pytest.mark.parametrize("name", FROM_CENTRES)
def test_a_seed_fixes_the_centres(name):
    def first_centre(seed):
        [weights] = build_loss(name, 3, 4, seed=seed).parameters()
        return weights.detach()

    assert torch.equal(first_centre(1), first_centre(1))
    assert not torch.equal(first_centre(1), first_centre(2))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_says_where_it_comes_from(name):
    assert "Source:" in inspect.getdoc(LOSSES[name].build)


BAD = [
    ("softmax", {}, "expected one of contrastive"),
    ("supcon", {"margin": 0.2}, "has no margin"),
    ("triplet", {"scale": 10.0}, "has no scale"),
    ("arcface", {"margin": 28.6}, "28.6 degrees are 0.499"),
    ("triplet", {"margin": 2.5}, "distance of unit vectors, expected 0 to 2"),
    ("circle", {"margin": 1.5}, "cosine similarity, expected 0 to 1"),
]


@pytest.mark.parametrize(("name", "options", "words"), BAD)
def test_an_option_that_a_loss_cannot_take_is_named(name, options, words):
    with pytest.raises(InputError, match=words):
        build_loss(name, 3, 4, **options)


def test_the_table_states_the_unit_of_every_margin():
    table = loss_table({name: options_of(name) for name in LOSSES}).set_index("loss")

    assert (table["margin"].isna() == table["unit of the margin"].isna()).all()
    assert table.loc["arcface", "unit of the margin"] == "radians"
