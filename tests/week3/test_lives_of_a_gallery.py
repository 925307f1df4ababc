"""Lives of a gallery drawn by chance: what persons said last stands, whatever file comes after.

Each life is a mixture of pages that are made, saved and added at odd times and more than once, of
seasons' folders and of changes by hand, and photos' files are numbered anew now and then; beside it
a plain model keeps who said what of which photo, and when. What the gallery takes must be what the
model has; it may refuse.
"""

import random
import shutil
from datetime import UTC, datetime, timedelta

from common.data.photo_names import photo_name
from common.ending import run_script
from common.gallery import history
from common.gallery.enrolment import open_gallery
from common.gallery.photos import names_of_pictures

import numpy as np
import pytest
from PIL import Image
from script_runs import load_main

N_PHOTOS, N_STEPS = 12, 40
N_UNDO = 5  # states that a gallery keeps


class Clock(datetime):
    """A time that goes on when it is told to."""

    @classmethod
    def now(cls, tz=None):
        return cls.time

    @classmethod
    def tick(cls, chance):
        cls.time += timedelta(seconds=chance.choice([1, 60, 4000]))
        return cls.time.strftime("%Y-%m-%dT%H:%M:%S")


class Life:
    """A gallery, and what it should hold: animals are numbers, whatever they are called."""

    def __init__(self, folder, seed):
        self.folder, self.gallery, self.chance = folder, folder / "gallery", random.Random(seed)
        Clock.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.numbering = random.Random(seed)
        self.file = {i: f"{i}.png" for i in range(N_PHOTOS)}  # of each photo, by now
        (folder / "photos").mkdir()
        for i in range(N_PHOTOS):
            pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.photo(i))
        self.number = {photo_name(self.photo(i)): i for i in range(N_PHOTOS)}
        self.animal = {0: 0, 1: 0, 2: 1, 3: 1}  # of each photo that is in
        self.name = {0: "A", 1: "B"}  # of each animal
        self.joined = {}  # an animal to the one that it turned out to be
        self.decided = {}  # photo to when a person decided, and on which animal
        self.former, self.pages, self.folders, self.n_animals, self.told = [], [], [], 2, []
        self.copy([(i, self.name[animal]) for i, animal in self.animal.items()], folder / "first")
        assert self.run("--smoke", "--data_dir", folder / "first")

    def photo(self, i):
        return self.folder / "photos" / self.file[i]

    def number_anew(self):
        """Two photos swap the names of their files, which a page that was made may name."""
        if self.numbering.random() < 0.5:
            one, other = self.numbering.sample(range(N_PHOTOS), 2)
            waiting = self.photo(one).rename(self.folder / "waiting.png")
            self.photo(other).rename(self.photo(one))
            waiting.rename(self.photo(other))
            self.file[one], self.file[other] = self.file[other], self.file[one]

    def copy(self, rows, folder):
        for i, name in rows:
            (folder / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(self.photo(i), folder / name / f"{i}.png")

    def run(self, *flags):
        """Whether the script takes it; a refusal ends in exit code 2."""
        flags = ["--output_dir", str(self.gallery), *map(str, flags)]
        self.told.append(f"{Clock.time} {flags[2:]}")
        n_before = len(history.read_log(self.gallery))
        state = [dict(each) for each in (self.animal, self.name, self.joined, self.decided)]
        refusal = None
        try:
            run_script(lambda: load_main("week3/build_gallery")(flags))
        except SystemExit as ending:
            refusal = ending.code
        assert refusal in (None, 2)
        if refusal:
            return False
        if "--undo" not in flags and len(history.read_log(self.gallery)) > n_before > 0:
            self.former = [*self.former, state][-N_UNDO:]
        return True

    def present(self):
        """Names of the animals that the gallery holds."""
        return {self.name[animal]: animal for animal in self.animal.values()}

    def now(self, animal):
        while animal in self.joined:
            animal = self.joined[animal]
        return animal

    def someone(self):
        """An animal of the gallery, or a new one, and its name."""
        if self.chance.random() < 0.3 or not self.animal:
            self.n_animals += 1
            return self.n_animals, f"N{self.n_animals}"
        name = self.chance.choice(sorted(self.present()))
        return self.present()[name], name

    def some_photos(self):
        return self.chance.sample(range(N_PHOTOS), self.chance.randint(1, 3))

    def check(self):
        names = names_of_pictures(open_gallery(self.gallery))
        found = {self.number[each]: name for each, name in names.items()}
        assert found == {i: self.name[animal] for i, animal in self.animal.items()}, self.told

    def make_page(self):
        asked, rows, picture = Clock.tick(self.chance), [], {i: p for p, i in self.number.items()}
        lines = ["path,identity,decision,content,seen,asked"]
        saved = f"identified {asked}, saved {Clock.tick(self.chance)}"
        for i in self.some_photos():
            animal, name = self.someone()
            alike = [each for each, whose in self.animal.items() if whose == animal]
            shown = self.chance.choice(alike) if alike else None
            seen = "" if shown is None else f"photo-{picture[shown]} {name}"
            answer = "new individual" if shown is None else "confirmed"
            photo = f"photos/{self.file[i]},{name},{answer},photo-{picture[i]}"
            lines.append(f'{photo},{seen},"{saved}"')
            rows.append((i, animal, name, shown))
        file = self.folder / f"page{len(self.pages)}.csv"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.pages.append((file, rows, f"{asked} {saved[-19:]}"))

    def add_page(self):
        if not self.pages:
            return
        self.number_anew()
        file, rows, when = self.chance.choice(self.pages)
        before = dict(self.animal)
        if not self.run("--add", "--data_dir", file):
            return
        for i, animal, name, shown in rows:
            animal = before.get(shown, self.now(animal))  # what a person saw counts
            last, other = self.decided.get(i, ("", animal))
            assert last <= when or self.now(other) == animal, self.told
            self.animal[i], self.decided[i] = animal, (max(last, when), animal)
            self.name.setdefault(animal, name)

    def make_folder(self):
        folder, rows = self.folder / f"season{len(self.folders)}", []
        for i in self.some_photos():
            animal, name = self.someone()
            rows.append((i, animal, name))
        self.copy([(i, name) for i, _, name in rows], folder)
        self.folders.append((folder, rows))

    def add_folder(self):
        if not self.folders:
            return
        folder, rows = self.chance.choice(self.folders)
        if self.run("--add", "--data_dir", folder):
            for i, animal, name in rows:
                if i in self.animal:
                    assert self.name[self.animal[i]] == name, self.told
                else:
                    self.animal[i] = self.now(animal)
                    self.name.setdefault(self.animal[i], name)

    def move(self):
        if self.animal:
            i, (animal, name) = self.chance.choice(sorted(self.animal)), self.someone()
            is_new = ["--new"] * (name not in self.present())
            if self.run("--move", self.photo(i), name, *is_new):
                self.animal[i], self.name[animal] = animal, name
                self.decided[i] = history.time_now()[:19], animal

    def forget(self):
        if self.animal:
            i = self.chance.choice(sorted(self.animal))
            assert self.run("--forget", self.photo(i))
            del self.animal[i]

    def rename(self):
        if self.animal:
            old = self.chance.choice(sorted(self.present()))
            new = self.chance.choice(["A", "B", f"R{len(self.told)}"])
            if self.run("--rename", old, new):
                self.name[self.present()[old]] = new

    def join(self):
        if len(self.present()) > 1:
            old, new = self.chance.sample(sorted(self.present()), 2)
            one, other = self.present()[old], self.present()[new]
            assert self.run("--rename", old, new, "--join")
            self.joined[one] = other
            self.animal = {i: other if each == one else each for i, each in self.animal.items()}

    def undo(self):
        if self.run("--undo"):
            self.animal, self.name, self.joined, self.decided = self.former.pop()
        else:
            assert not self.former


STEPS = (Life.make_page, Life.make_folder, Life.move, Life.forget, Life.rename, Life.join)
STEPS += (Life.add_page,) * 3 + (Life.add_folder,) * 2 + (Life.undo,) * 2


@pytest.mark.parametrize(
    "seed", [15, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (9, 14, 24, 31, 38, 39))]
)
def test_what_persons_said_last_stands(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(history, "datetime", Clock)
    monkeypatch.chdir(tmp_path)
    life = Life(tmp_path, seed)
    for _ in range(N_STEPS):
        Clock.tick(life.chance)
        life.chance.choice(STEPS)(life)
        life.check()
