"""Who is seen when: the animals, encounters and photos of the generated turtle data.

Nothing is drawn here. A plan follows from the parameters alone, so a stored photo can be
planned again at any time, and each photo has a random stream of its own.
"""

from dataclasses import Field, dataclass, field, fields
from datetime import date, timedelta
from numbers import Real

from common.errors import InputError

import numpy as np
from numpy.random import Generator

SEASON_START = (5, 1)  # month, day of the first dives of a year
SEASON_DAYS = 184  # days of diving in a year, May to October
BOTH_SIDES_SHARE = 0.8  # probability that an encounter shows both sides of the face
TAIL_EXPONENT = 1.5  # 0 = all animals equally often; larger = fewer often-seen animals
NEWCOMER_ONE_DAY_SHARE = 0.1  # share of the newcomers seen on one day only
NEWCOMER_ENCOUNTERS = 4  # most encounters of a newcomer
SIDES = ("left", "right")
BACKGROUNDS = ("bed", "reef", "open water")
CAMERAS = ("compact", "action", "mirrorless", "phone", "strobe")
POPULATION, ENCOUNTER, PHOTO, SKIN = range(4)  # what a random stream is for
IN_ORDER = (
    ("fewest_photos", "most_photos"),
    ("smallest_head", "largest_head"),
    ("first_year", "last_year"),
)


def _within(low: float, high: float, *, default: float) -> Field:
    """A parameter with the lowest and the highest value that it may take, both included."""
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True)
class TurtleParameters:
    """How many turtles, and how hard their photos are.

    Attributes:
        seed: fixes every animal, date and pixel; 0 or more.
        n_known: animals first seen before the newcomers' years; 1 or more.
        n_newcomers: animals first seen in the newcomers' years; 0 or more.
        photo_size: width and height of a photo in pixels, 32 to 1024.
        newcomer_years: number of last years in which newcomers appear.
        one_day_share: share of the known animals seen on one day only, in [0, 1].
        most_encounters: encounters of the most often seen animals, 2 to 50.
        fewest_photos: photos of the shortest encounters, 1 or more.
        most_photos: photos of the longest encounters, at most 20.
        yaw_range: largest turn of the head towards or away from the camera, radians.
        pitch_range: largest view from above or below, radians.
        roll_range: largest tilt in the picture, radians.
        smallest_head: head length in the smallest views, as a share of the photo's width.
        largest_head: head length in the largest views, same unit.
        shift_range: largest displacement of the head, as a share of the photo's width.
        haze: mean optical depth of the water between camera and animal.
        encounter_variation: 0 = all encounters share light, water and camera settings, 1 =
            each has its own, up to the extremes; at most 2.
        tone_variation: standard deviation of an animal's own colour, share of full scale.
        style_variation: 0 = all animals have scutes of one size, seams of one width and one
            contrast; 1 = these are an animal's own, alike on both sides; up to 2.
        slow_change: 0 = faces stay the same, 1 = algae and scars come over the years.
        blur_range: standard deviation of the strongest defocus in pixels of a 192 px photo.
        occlusion_share: probability that something lies in front of the animal.
        noise: standard deviation of the sensor noise, share of full scale.
    """

    seed: int = _within(0, 2**31 - 1, default=0)
    n_known: int = _within(1, 10_000, default=60)
    n_newcomers: int = _within(0, 10_000, default=20)
    photo_size: int = _within(32, 1024, default=192)
    first_year: int = _within(1900, 2100, default=2015)
    last_year: int = _within(1900, 2100, default=2024)
    newcomer_years: int = _within(1, 50, default=3)
    one_day_share: float = _within(0.0, 1.0, default=0.1)
    most_encounters: int = _within(2, 50, default=10)
    fewest_photos: int = _within(1, 20, default=2)
    most_photos: int = _within(1, 20, default=6)
    yaw_range: float = _within(0.0, 0.9, default=0.26)
    pitch_range: float = _within(0.0, 0.7, default=0.2)
    roll_range: float = _within(0.0, 3.2, default=0.18)
    smallest_head: float = _within(0.3, 1.0, default=0.75)
    largest_head: float = _within(0.3, 1.0, default=0.87)
    shift_range: float = _within(0.0, 0.3, default=0.04)
    haze: float = _within(0.0, 2.0, default=0.17)
    encounter_variation: float = _within(0.0, 2.0, default=0.45)
    tone_variation: float = _within(0.0, 0.2, default=0.02)
    style_variation: float = _within(0.0, 2.0, default=1.0)
    slow_change: float = _within(0.0, 2.0, default=1.0)
    blur_range: float = _within(0.0, 6.0, default=0.8)
    occlusion_share: float = _within(0.0, 1.0, default=0.25)
    noise: float = _within(0.0, 0.2, default=0.01)

    @classmethod
    def small(cls) -> "TurtleParameters":
        """About a hundred small photos of 8 known animals and 3 newcomers, for tests."""
        few = {"n_known": 8, "n_newcomers": 3, "most_encounters": 5, "most_photos": 4}
        return cls(**few, photo_size=96, one_day_share=0.13)

    @property
    def newcomers_from(self) -> int:
        """First year in which newcomers are seen."""
        return self.last_year - self.newcomer_years + 1


@dataclass(frozen=True)
class Photo:
    """One planned photo; `index` counts the photos of its encounter from 0."""

    index: int
    image_id: str
    orientation: str


@dataclass(frozen=True)
class Encounter:
    """One day with one animal; `index` counts the animal's encounters from 0."""

    index: int
    name: str
    day: date
    camera: str
    background: str
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class Animal:
    """One turtle and its encounters, earliest first; `index` counts animals from 0."""

    index: int
    identity: str
    is_newcomer: bool
    encounters: tuple[Encounter, ...]

    @property
    def n_photos(self) -> int:
        """Number of photos over all encounters."""
        return sum(len(encounter.photos) for encounter in self.encounters)


def stream(seed: int, purpose: int, *indices: int) -> Generator:
    """Random numbers that belong to one thing (an animal, an encounter, a photo)."""
    return np.random.default_rng([seed, purpose, *indices])


def check_parameters(parameters: TurtleParameters) -> None:
    """Refuse parameters that no turtle can be drawn from.

    Raises:
        InputError: a value is out of its range, or two values contradict each other.
    """
    values = vars(parameters)
    for each in fields(parameters):
        low, high = each.metadata["range"]
        if not (isinstance(values[each.name], Real) and low <= values[each.name] <= high):
            raise InputError(
                f"found {each.name}={values[each.name]!r}, expected {low} to {high}; "
                f"change {each.name} in TurtleParameters."
            )
    for smaller, larger in IN_ORDER:
        if values[smaller] > values[larger]:
            raise InputError(
                f"found {smaller}={values[smaller]} above {larger}={values[larger]}, expected "
                f"{smaller} <= {larger}; swap them in TurtleParameters."
            )
    if parameters.newcomers_from <= parameters.first_year:
        raise InputError(
            f"found newcomer_years={parameters.newcomer_years} with years "
            f"{parameters.first_year} to {parameters.last_year}, expected at least one year "
            "before the newcomers; lower newcomer_years in TurtleParameters."
        )


def plan_population(parameters: TurtleParameters) -> list[Animal]:
    """Plan all animals with their encounters and photos; known animals come first.

    Raises:
        InputError: see `check_parameters`.
    """
    check_parameters(parameters)
    counts = known_counts(parameters) + newcomer_counts(parameters)
    return [plan_animal(index, count, parameters) for index, count in enumerate(counts)]


def known_counts(parameters: TurtleParameters) -> list[int]:
    """Number of encounters of each known animal: a long tail, in random order."""
    n_one_day = round(parameters.one_day_share * parameters.n_known)
    n_others = parameters.n_known - n_one_day
    quantiles = (np.arange(n_others) + 0.999) / max(n_others, 1)
    others = 2 + (parameters.most_encounters - 1) * quantiles**TAIL_EXPONENT
    counts = [1] * n_one_day + [int(count) for count in others]
    order = stream(parameters.seed, POPULATION).permutation(parameters.n_known)
    return [counts[position] for position in order]


def newcomer_counts(parameters: TurtleParameters) -> list[int]:
    """Number of encounters of each newcomer, in random order."""
    random = stream(parameters.seed, POPULATION, 1)
    most = min(NEWCOMER_ENCOUNTERS, parameters.most_encounters)
    counts = random.integers(2, most + 1, size=parameters.n_newcomers)
    counts[: round(NEWCOMER_ONE_DAY_SHARE * parameters.n_newcomers)] = 1
    return [int(count) for count in random.permutation(counts)]


def plan_animal(index: int, n_encounters: int, parameters: TurtleParameters) -> Animal:
    """Plan one animal; indices from `n_known` on are newcomers."""
    is_newcomer = index >= parameters.n_known
    identity = f"t{index + 1:03d}"
    random = stream(parameters.seed, POPULATION, 2, index)
    years = encounter_years(random, n_encounters, is_newcomer, parameters)
    encounters = tuple(
        plan_encounter(identity, index, number, day, parameters)
        for number, day in enumerate(encounter_days(random, years))
    )
    return Animal(index, identity, is_newcomer, encounters)


def encounter_years(
    random: Generator, n_encounters: int, is_newcomer: bool, parameters: TurtleParameters
) -> list[int]:
    """Years of the encounters, sorted; as many different years as possible."""
    first = parameters.newcomers_from if is_newcomer else parameters.first_year
    possible = np.arange(first, parameters.last_year + 1)
    years = list(random.permutation(possible)[:n_encounters])
    years += list(random.choice(possible, size=n_encounters - len(years)))
    if not is_newcomer and min(years) >= parameters.newcomers_from:
        years[0] = random.integers(parameters.first_year, parameters.newcomers_from)
    return sorted(int(year) for year in years)


def encounter_days(random: Generator, years: list[int]) -> list[date]:
    """One day in the season of each year, sorted, no day twice."""
    days: set[date] = set()
    for n_before, year in enumerate(years):
        while len(days) == n_before:
            day_of_season = int(random.integers(SEASON_DAYS))
            days.add(date(year, *SEASON_START) + timedelta(days=day_of_season))
    return sorted(days)


def plan_encounter(
    identity: str, animal_index: int, index: int, day: date, parameters: TurtleParameters
) -> Encounter:
    """Plan the photos of one day with one animal."""
    random = stream(parameters.seed, POPULATION, 3, animal_index, index)
    n_photos = int(random.integers(parameters.fewest_photos, parameters.most_photos + 1))
    name = f"{identity}_{day.isoformat()}"
    photos = tuple(
        Photo(number, f"{name}_{number + 1}", side)
        for number, side in enumerate(photo_sides(random, n_photos))
    )
    camera = CAMERAS[random.integers(len(CAMERAS))]
    background = BACKGROUNDS[random.integers(len(BACKGROUNDS))]
    return Encounter(index, name, day, camera, background, photos)


def photo_sides(random: Generator, n_photos: int) -> list[str]:
    """Side of the face in each photo of an encounter; both sides more often than not."""
    first, other = random.permutation(SIDES)
    if n_photos == 1 or random.random() > BOTH_SIDES_SHARE:
        return [str(first)] * n_photos
    n_other = int(random.integers(1, n_photos))
    return [str(first)] * (n_photos - n_other) + [str(other)] * n_other
