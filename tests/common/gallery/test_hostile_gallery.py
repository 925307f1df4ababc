"""A gallery from elsewhere: whatever its files say, it is refused in one line; nothing runs."""

import json
import os
import pickle
import struct

from common.errors import InputError
from common.gallery import embedding, enrolment
from common.gallery.files import ENDINGS
from common.gallery.gallery import Gallery
from common.gallery.pictures import has_picture, picture_path
from common.models.backbones import load_backbone
from common.models.heads import EmbeddingHead, Recogniser, linear_classifier
from common.models.storage import save_recogniser
from common.own_files import checksum, note

import numpy as np
import pytest

N_PHOTOS, DIM = 1_100, 16  # as many as an ivfpq index needs


@pytest.fixture
def folder(tmp_path):
    """A whole gallery with an index."""
    photos = np.random.default_rng(0).standard_normal((N_PHOTOS, DIM)).astype(np.float32)
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    gallery = Gallery(DIM)
    pictures = [f"{i:032x}" for i in range(N_PHOTOS)]
    gallery.enrol(photos, [f"t{i % 9}" for i in range(N_PHOTOS)], {"picture": pictures})
    gallery.build("hnsw")
    return gallery.save(tmp_path / "gallery")


def edit(folder, **changes):
    """Change what gallery.json says."""
    description = json.loads((folder / "gallery.json").read_text())
    (folder / "gallery.json").write_text(json.dumps({**description, **changes}))


def replace_part(folder, part, content):
    """Put a content in the place of a part, with the checksum that belongs to it."""
    (folder / part).write_bytes(content)
    name = f"{part}-{checksum(folder / part)}{ENDINGS[part]}"
    (folder / part).rename(folder / name)
    files = json.loads((folder / "gallery.json").read_text())["files"]
    edit(folder, files={**files, part: name})


def refusal(folder):
    with pytest.raises(InputError) as error:
        Gallery.load(folder)
    line = str(error.value)
    assert "\n" not in line
    assert "is no whole gallery" in line
    return line


class Payload:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def array_with_header(shape, dtype="<f4", content=b"\0" * 64):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize("part", ["indexed", "recent", "kept"])
@pytest.mark.parametrize("shape", ["(10000000000000, 16)", "(4611686018427387904,)", "(-5, 16)",
                                   "(2, 'x')", "(1,) * 10**9", "[3]"])  # fmt: skip
def test_a_header_that_lies_allocates_nothing(folder, part, shape):
    replace_part(folder, part, array_with_header(shape))

    refusal(folder)


@pytest.mark.parametrize("part", ["indexed", "recent", "kept"])
def test_objects_in_an_array_are_never_made(folder, part, tmp_path):
    content = pickle.dumps(np.array([Payload(tmp_path / "ran")], dtype=object))
    replace_part(folder, part, array_with_header("(1,)", "|O", content))

    refusal(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("part", ENDINGS)
def test_a_pickle_in_a_parts_place_is_never_read(folder, part, tmp_path):
    replace_part(folder, part, pickle.dumps(Payload(tmp_path / "ran")))

    if part == "model":
        with pytest.raises(InputError):
            enrolment.open_gallery(folder)
    else:
        refusal(folder)
    assert not (tmp_path / "ran").exists()


def test_an_index_that_declares_billions_is_refused(folder):
    """Each 8-byte number of its beginning in turn."""
    [path] = folder.glob("index-*")
    content = path.read_bytes()
    for huge in (2**33, 2**39, 2**62):
        for start in (*range(4, 80), *range(len(content) // 2, len(content) // 2 + 9)):
            replace_part(
                folder, "index", content[:start] + struct.pack("<Q", huge) + content[start + 8 :]
            )
            try:
                Gallery.load(folder)
            except InputError as error:
                assert "is no whole gallery" in str(error)  # noqa: PT017


@pytest.mark.parametrize("cut", [0, 4, 30, 1_000])
def test_an_index_that_ends_early_is_refused(folder, cut):
    [path] = folder.glob("index-*")
    replace_part(folder, "index", path.read_bytes()[:cut])

    refusal(folder)


FACTS = [
    {"picture": ["/etc/hostname"] * N_PHOTOS},
    {"picture": ["../../secret"] * N_PHOTOS},
    {"picture": ["ab/../../../x"] * N_PHOTOS},
    {"picture": ["C:\\photos\\x"] * N_PHOTOS},
    {"picture": ["a\0b"] * N_PHOTOS},
    {"picture": [""] * N_PHOTOS},
    {"identity": [None] * N_PHOTOS},
    {"identity": [["a"]] * N_PHOTOS},
    {"identity": "t" * N_PHOTOS},
    {"identity": ["a"]},
]


@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: str(facts)[:40])
def test_odd_facts_are_refused(folder, facts):
    whole = {"identity": ["a"] * N_PHOTOS, "picture": ["ab"] * N_PHOTOS}
    replace_part(folder, "facts", json.dumps({**whole, **facts}).encode())

    refusal(folder)


MANIFESTS = [
    b"",
    b"[]",
    b"null",
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"format": 2}',
    b'{"format": 2, "files": ["indexed"], "report": null}',
    b'{"format": 2, "files": {"indexed": 5}, "report": null}',
    b'{"format": 3, "files": {}, "report": null}',
    b'{"format": 2, "files": {"indexed": "/etc/passwd"}, "report": null}',
]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: str(manifest[:40]))
def test_an_odd_manifest_is_refused(folder, manifest):
    (folder / "gallery.json").write_bytes(manifest)

    refusal(folder)


@pytest.mark.parametrize("odd", [{"report": {"kind": 1}}, {"report": "x"}, {"about": 7}])
def test_odd_words_about_a_gallery_are_refused(folder, odd):
    edit(folder, **odd)

    refusal(folder)


@pytest.mark.parametrize("former", [7, [7], [{"files": {"facts": "../../x"}}], [{}], {"a": 1}])
def test_odd_former_states_hinder_nobody_and_lead_nowhere(folder, former):
    edit(folder, former=former)
    note(folder / "gallery.json", checksum(folder / "gallery.json"))

    assert len(Gallery.load(folder)) == N_PHOTOS
    Gallery.load(folder).save(folder, {"what": ["nothing"]})
    assert len(Gallery.load(folder)) == N_PHOTOS


@pytest.mark.parametrize("part", ["indexed", "facts", "index"])
def test_a_part_that_is_a_link_is_refused(folder, part, tmp_path):
    [path] = folder.glob(f"{part}-*")
    path.rename(tmp_path / path.name)
    path.symlink_to(tmp_path / path.name)

    assert "is a link" in refusal(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("name", ["gallery.json", "facts", "indexed"])
def test_a_pipe_in_a_files_place_is_refused_and_not_waited_for(folder, name):
    place = next(folder.glob(f"{name}*"))
    place.unlink()
    os.mkfifo(place)

    assert "is a pipe" in refusal(folder)


def test_a_picture_behind_a_link_is_not_shown(folder, tmp_path):
    (tmp_path / "private.jpg").write_bytes(b"photo")
    for name, target in (("ab" * 16, "file"), ("cd" * 16, "folder")):
        path = picture_path(folder, name)
        path.parent.parent.mkdir(exist_ok=True)
        if target == "file":
            path.parent.mkdir()
            path.symlink_to(tmp_path / "private.jpg")
        else:
            (tmp_path / "album").mkdir()
            (tmp_path / "album" / path.name).write_bytes(b"photo")
            path.parent.symlink_to(tmp_path / "album")

        assert path.exists()
        assert not has_picture(folder, name)


SCORES = [{"photos": 1}, {}, {"photos": {}, "encounters": {}, "source": "x"}, "x", 7]


@pytest.mark.parametrize("scores", SCORES, ids=str)
def test_odd_validation_scores_are_refused(folder, scores, tmp_path):
    gallery = Gallery.load(folder)
    backbone = load_backbone("small_cnn", weights="none", image_size=32)
    network = Recogniser(backbone, EmbeddingHead(backbone.n_features))
    gallery.model = save_recogniser(network, tmp_path / "model.safetensors", [])
    gallery.about = {"scores": scores}

    with pytest.raises(InputError, match="validation photos"):
        embedding.validation_scores(gallery)


@pytest.mark.parametrize("head", [EmbeddingHead, lambda n: linear_classifier(n, 2)])
def test_a_network_of_other_embeddings_is_refused(folder, head, tmp_path):
    backbone = load_backbone("small_cnn", weights="none", image_size=32)
    network = Recogniser(backbone, head(backbone.n_features))
    gallery = Gallery.load(folder)
    gallery.model = save_recogniser(network, tmp_path / "model.safetensors", ["a", "b"])

    with pytest.raises(InputError, match="not of one gallery"):
        embedding.network_of(gallery)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_a_part_that_may_not_be_read_is_named_with_whom_to_ask(folder):
    next(folder.glob("facts-*")).chmod(0)

    with pytest.raises(InputError, match="ask its owner"):
        Gallery.load(folder)
