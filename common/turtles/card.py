"""A memory card of unnamed photos, as a camera leaves it, of turtles whose names are known apart.

One season of a closed population: on each of some days there are a few dives at places, and a dive
meets some of the animals. Photos lie where cameras put them, with date, time and place in their
EXIF; some are HEIC. Some show a whole scene, and a table `boxes.csv` says where the animals are,
one or two in a photo.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

from common.errors import InputError
from common.files import write_bytes, write_text
from common.turtles.dataset import DEFAULT_FOLDER
from common.turtles.drawing import defocus, draw_photo, immerse, see_animal
from common.turtles.foreground import add_foreground
from common.turtles.population import (
    BACKGROUNDS,
    PHOTO,
    POPULATION,
    SIDES,
    Animal,
    Encounter,
    Photo,
    TurtleParameters,
    photo_sides,
    stream,
)
from common.turtles.scene import CAMERAS as SCENE_CAMERAS
from common.turtles.scene import Look, crop_backdrop, develop, make_look
from common.turtles.shape import Pose, choose_pose
from common.turtles.skin import Face, make_face, paint_skin

import numpy as np
import pandas as pd
import pillow_heif
from numpy.random import Generator
from PIL import ExifTags, Image
from tqdm import tqdm

DEFAULT_CARD = DEFAULT_FOLDER.with_name("card")
BOXES_FILE = "boxes.csv"
CARD_SEED = 1  # with 0 the card would show the embedded turtles, whom networks have learned
ANIMALS_PER_PHOTO = 0.13  # so that an animal is met on about three days
SEASON = date(2024, 5, 1), 150  # first day, number of days
N_DAYS = 8  # of a season, that divers go out on
DIVES = (9, 12, 15)  # hours of the day at which one begins
SEEN_SHARE = 0.3  # probability that an animal is met on one of the days
SCENE_SHARE = 0.2  # of the photos that show more than a head
PAIR_SHARE = 0.5  # of the meetings with a further animal, of which one photo shows both
SCENE_SIZE = 2  # sides of a scene over those of a photo of a head
HEAD_IN_BOX = 0.8  # head length over the side of its box
# Model, folder, name and ending of its photos, and how it renders them.
CAMERAS = {
    "compact": ("Canon PowerShot G16", "100CANON", "IMG_{:04}.JPG"),
    "action": ("GoPro HERO9", "101GOPRO", "GOPR{:04}.JPG"),
    "phone": ("Apple iPhone 13", "102APPLE", "IMG_{:04}.HEIC"),
}
CAMERA_SHARES = (0.5, 0.3, 0.2)
PLACES = ((-8.2761, 115.5937), (-8.2748, 115.6012), (-8.2802, 115.5871))  # degrees north, east


@dataclass(frozen=True)
class Sight:
    """One animal in one photo."""

    animal: Animal
    encounter: Encounter
    orientation: str


@dataclass(frozen=True)
class Shot:
    """One photo of a card: when, where, with what, and the animals in it, one or two."""

    name: str
    taken: datetime
    place: tuple[float, float]
    sights: tuple[Sight, ...]
    number: int  # among the photos of its encounter
    is_scene: bool

    @property
    def camera(self) -> str:
        """One of `CAMERAS`."""
        return self.sights[0].encounter.camera


def ensure_card(*, is_small: bool = False) -> tuple[Path, Path]:
    """The card that scripts take where no folder is named, and its truth.

    Drawn at the first call into data/card and data/card_truth.csv, in half a minute; after a stop,
    once more. A small one, for smoke runs, into data/card_small.
    """
    folder = DEFAULT_CARD.with_name("card_small") if is_small else DEFAULT_CARD
    truth = folder.with_name(f"{folder.name}_truth.csv")
    if not truth.exists():  # it is written last
        size = {"n_photos": 24, "photo_size": 64, "progress": False} if is_small else {}
        draw_card(folder, truth, seed=CARD_SEED, goes_on=True, **size)
    return folder, truth


def draw_card(
    folder: str | Path,
    truth: str | Path,
    n_photos: int = 300,
    seed: int = 0,
    *,
    photo_size: int = 192,
    goes_on: bool = False,
    progress: bool = True,
) -> int:
    """Draw a memory card, and write down elsewhere who is on it.

    Args:
        folder: to be made, or empty: `DCIM/100CANON/IMG_0001.JPG` and so on, and `boxes.csv`.
        truth: a table outside of it: path, bbox, identity, orientation, encounter, date.
        n_photos: files on the card; 8 or more.
        photo_size: side of a photo of a head, pixels; scenes have twice that.
        goes_on: the folder may hold a part of the same card.

    Returns:
        How many animals there are, photographed or not.

    Raises:
        InputError: the folder holds something, or the truth would lie in it.
    """
    folder, truth = Path(folder).absolute(), Path(truth).absolute()
    is_used = not goes_on and folder.exists() and any(folder.iterdir())
    if is_used or truth.is_relative_to(folder):
        raise InputError(
            f"{folder} holds something, or would hold the truth, expected an empty folder and the "
            "truth elsewhere; name others"
        )
    parameters = TurtleParameters(seed=seed, photo_size=photo_size)
    n_animals = max(4, round(ANIMALS_PER_PHOTO * n_photos))
    shots, rows = plan_card(n_animals, n_photos, seed), []
    drawn = draw_shots(shots, parameters)
    for shot, content, boxes in tqdm(drawn, "drawing a card", n_photos, disable=not progress):
        path = folder / shot.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
        rows += [row_of(shot, *each) for each in zip(shot.sights, boxes, strict=True)]
    table = pd.DataFrame(rows).sort_values(["path", "bbox"])
    noted = table[["path", "bbox", "orientation"]]  # by whoever went through the photos
    for file, each in ((folder / BOXES_FILE, noted), (truth, table)):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, each.to_csv(index=False, lineterminator="\n"))
    return n_animals


def plan_card(n_animals: int, n_photos: int, seed: int) -> list[Shot]:
    """Plan a season's photos: animal by animal, numbered in the order in which they are taken."""
    random = stream(seed, POPULATION, 4)
    first, n_days = SEASON
    days = [first + timedelta(days=int(day)) for day in random.choice(n_days, N_DAYS, False)]
    meetings = [  # animal, dive, of which there are some on each day
        (animal, day * len(DIVES) + int(random.integers(len(DIVES))))
        for day in range(N_DAYS)
        for animal in random.permutation(np.flatnonzero(random.random(n_animals) < SEEN_SHARE))
    ]
    meetings = sorted(meetings[:n_photos], key=lambda meeting: meeting[1])
    counts = 1 + random.multinomial(
        n_photos - len(meetings), np.full(len(meetings), 1 / len(meetings))
    )
    shots, taken, dive_before = [], datetime.min, -1
    met = [plan_meeting(random, *each, sorted(days)) for each in meetings]
    for sight, following, count in zip(met, [*met[1:], met[0]], counts, strict=True):
        dive = sight.encounter.index
        if dive != dive_before:
            taken = datetime.combine(sight.encounter.day, time(DIVES[dive % len(DIVES)]))
            dive_before = dive
        taken += timedelta(seconds=int(random.integers(120, 600)))
        for number, side in enumerate(photo_sides(random, int(count))):
            taken += timedelta(seconds=int(random.integers(4, 40)), milliseconds=250)
            sights = [replace(sight, orientation=side)]
            may_pair = number == count - 1 and following.encounter.index == dive
            if may_pair and random.random() < PAIR_SHARE:
                sights.append(following)
            is_scene = len(sights) > 1 or random.random() < SCENE_SHARE
            place = PLACES[dive % len(PLACES)]
            shots.append(Shot("", taken, place, tuple(sights), number, is_scene))
    numbers = dict.fromkeys(CAMERAS, 0)
    for i, shot in enumerate(shots):
        numbers[shot.camera] += 1
        _, album, name = CAMERAS[shot.camera]
        shots[i] = replace(shot, name=f"DCIM/{album}/{name.format(numbers[shot.camera])}")
    return sorted(shots, key=lambda shot: shot.sights[0].animal.index)


def plan_meeting(random: Generator, animal: int, dive: int, days: list[date]) -> Sight:
    """An animal as one dive meets it."""
    day, identity = days[dive // len(DIVES)], f"t{animal + 1:03d}"
    camera = str(random.choice(list(CAMERAS), p=CAMERA_SHARES))
    background = BACKGROUNDS[random.integers(len(BACKGROUNDS))]
    encounter = Encounter(dive, f"{identity}_{dive}", day, camera, background, ())
    first_seen = replace(encounter, index=0, day=SEASON[0])
    turtle = Animal(animal, identity, False, (first_seen,))
    return Sight(turtle, encounter, SIDES[random.integers(2)])


def draw_shots(
    shots: Sequence[Shot], parameters: TurtleParameters
) -> Iterator[tuple[Shot, bytes, list[str]]]:
    """Each shot with the content of its file and a box for each animal, "" for a whole photo."""
    skins: dict[int, dict] = {}
    looks: dict[str, tuple[Look, Face]] = {}  # the animal's on the day of the encounter
    for shot in shots:
        for animal, encounter in ((sight.animal, sight.encounter) for sight in shot.sights):
            if animal.index not in skins:
                skins[animal.index] = paint_skin(animal, parameters)
            if encounter.name not in looks:
                face = make_face(animal, encounter, skins[animal.index], parameters)
                looks[encounter.name] = make_look(animal, encounter, parameters), face
        first = shot.sights[0]
        look, face = looks[first.encounter.name]
        if shot.is_scene:
            faces = [looks[sight.encounter.name][1] for sight in shot.sights]
            size = SCENE_SIZE * parameters.photo_size
            image, boxes = draw_scene(shot, look, faces, replace(parameters, photo_size=size))
        else:
            photo = Photo(shot.number, "", first.orientation)
            whole = first.animal, first.encounter, photo, face, look, parameters
            image, boxes = draw_photo(*whole).image, [""]
        if shot.sights[-1].animal is not first.animal:
            looks = {}
        yield shot, as_camera_stores(image, shot), boxes


def draw_scene(
    shot: Shot, look: Look, faces: Sequence[Face], parameters: TurtleParameters
) -> tuple[np.ndarray, list[str]]:
    """A photo of one or two small animals with much around them, and a box around each head."""
    size, first = parameters.photo_size, shot.sights[0]
    random = stream(parameters.seed, PHOTO, first.animal.index, first.encounter.index, shot.number)
    image, boxes = crop_backdrop(random, look, size), []
    for place, (sight, face) in enumerate(zip(shot.sights, faces, strict=True)):
        pose = choose_pose(random, sight.orientation, parameters)
        # The head swims ahead of the body; of two animals each has half of the height.
        across = random.uniform(0.24, 0.34)
        down = random.uniform(0.4, 0.6) if len(faces) == 1 else 0.27 + 0.46 * place
        centre = (1 - across if pose.is_mirrored else across) * size, down * size
        pose = replace(pose, scale=random.uniform(0.3, 0.38) * size, centre=centre)
        image = immerse(image, see_animal(face, sight.orientation, pose, size), look, pose)
        boxes.append(box_around(random, pose, size))
    image, _ = add_foreground(random, image, look, first.encounter.background, parameters)
    image = defocus(random, image, parameters)
    return develop(random, image, look, parameters.noise), boxes


def box_around(random: Generator, pose: Pose, size: int) -> str:
    """A head's box as a person draws it, "left,top,width,height" in pixels."""
    side = pose.scale / HEAD_IN_BOX
    start = np.array(pose.centre) - side / 2 + random.uniform(-0.05, 0.05, 2) * side
    low, high = np.clip([start, start + side], 0, size).round().astype(int)
    return ",".join(map(str, [*low, *(high - low)]))


def as_camera_stores(image: np.ndarray, shot: Shot) -> bytes:
    """The content of a photo's file: pixels, date, time, place and camera."""
    photo, exif, content = Image.fromarray(image), exif_of(shot), io.BytesIO()
    if shot.name.endswith(".HEIC"):
        heif = pillow_heif.from_pillow(photo)
        heif.save(content, quality=80, exif=exif, enc_params={"preset": "ultrafast"})
    else:
        photo.save(content, "JPEG", quality=SCENE_CAMERAS[shot.camera].jpeg_quality, exif=exif)
    return content.getvalue()


def exif_of(shot: Shot) -> bytes:
    """What a camera writes about a photo."""
    exif, tags = Image.Exif(), ExifTags.Base
    exif[tags.Make], exif[tags.Model] = CAMERAS[shot.camera][0].split(" ", 1)
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[tags.DateTimeOriginal] = f"{shot.taken:%Y:%m:%d %H:%M:%S}"
    details[tags.SubsecTimeOriginal] = f"{shot.taken.microsecond // 10_000:02}"
    details[tags.OffsetTimeOriginal] = "+08:00"
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    for tag, degrees, (below, above) in zip((1, 3), shot.place, ("SN", "WE"), strict=True):
        place[tag] = below if degrees < 0 else above
        minutes, seconds = divmod(abs(degrees) * 3600, 60)
        place[tag + 1] = (float(minutes // 60), float(minutes % 60), round(seconds, 2))
    return exif.tobytes()


def row_of(shot: Shot, sight: Sight, box: str) -> dict:
    """One row of the truth."""
    return {
        "path": shot.name,
        "bbox": box,
        "identity": sight.animal.identity,
        "orientation": sight.orientation,
        "encounter": sight.encounter.name,
        "date": shot.taken.isoformat(),
    }
