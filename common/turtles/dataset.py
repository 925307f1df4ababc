"""The embedded data set: photos of generated sea turtles whose faces are their names.

`ensure_turtles()` draws the set once into `data/turtles` and leaves it alone from then on.
Every pixel follows from `TurtleParameters`, so the truth about each photo is known: who it
shows, where the animal is, and what it shares with the other photos of its encounter.

Who is seen when is planned in `population`; `drawing` draws one photo.
"""

import glob
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, fields
from pathlib import Path

from common.errors import InputError
from common.files import part_mark, remove_leftovers, write_bytes, write_text
from common.machine import processes
from common.own_files import LIST, foreign_files, list_everything, read_json
from common.turtles.drawing import Picture, draw_photo
from common.turtles.population import Animal, Encounter, Photo, TurtleParameters, plan_population
from common.turtles.scene import Look, make_look
from common.turtles.skin import make_face, paint_skin

import cv2
import pandas as pd
from tqdm import tqdm

DRAWING_VERSION = 1  # raise it whenever the same parameters give other pixels
DEFAULT_PARAMETERS = TurtleParameters()
DEFAULT_FOLDER = Path(__file__).parents[2] / "data" / "turtles"
METADATA_FILE = "metadata.csv"
PARAMETERS_FILE = "parameters.json"
FEWEST_PHOTOS_FOR_WORKERS = 200  # below, starting worker processes takes longer than drawing


def ensure_turtles(
    folder: Path | None = None,
    parameters: TurtleParameters = DEFAULT_PARAMETERS,
    *,
    progress: bool = True,
    n_workers: int | None = None,
) -> Path:
    """Draw the turtles unless they are there already.

    The set is drawn beside its folder and moved there in one step, so an interrupted
    drawing leaves nothing half done. The bytes don't depend on the number of workers.

    Args:
        folder: holds metadata.csv, parameters.json and photos/; data/turtles by default.
        parameters: of the set. Where the folder holds turtles of other parameters, or of
            an older drawing, they are drawn anew.
        n_workers: processes; all cores by default, 1 = draw in this process.

    Raises:
        InputError: the parameters make no turtles, or the folder holds something else.
    """
    folder = Path(folder or DEFAULT_FOLDER).absolute()
    animals = plan_population(parameters)
    with processes.one_first():
        remove_leftovers(folder.parent, f"{glob.escape(folder.name)}.*")
        if stored_description(folder) == describe(parameters):
            return folder
        refuse_foreign_folder(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        drawing = folder.with_name(f"{folder.name}{part_mark()}")
        try:
            drawing.mkdir()
            draw_set(drawing, animals, parameters, progress, n_workers or os.cpu_count() or 1)
            list_everything(drawing)
            move_into_place(drawing, folder, parameters)
        finally:
            shutil.rmtree(drawing, ignore_errors=True)
    return folder


def describe(parameters: TurtleParameters) -> dict:
    """What decides every pixel, as plain JSON types."""
    return {"drawing_version": DRAWING_VERSION, "parameters": asdict(parameters)}


def stored_description(folder: Path) -> dict | None:
    """The description of the turtles in a folder, or None where there are none."""
    try:
        stored = read_json(folder / PARAMETERS_FILE)
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) else None


def refuse_foreign_folder(folder: Path) -> None:
    """Never replace a folder that was not drawn here, or to which something was added."""
    stored = stored_description(folder) or {}
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    is_ours = "drawing_version" in stored and not any(foreign_files(folder))
    if not is_ours or len(list(folder.rglob(LIST))) > 1:  # a run's results below are no drawing
        raise InputError(
            f"found other files in {folder}, expected generated turtles or an empty folder; "
            "name another folder for the turtles, or move the files away."
        )


def move_into_place(drawing: Path, folder: Path, parameters: TurtleParameters) -> None:
    """Give a finished drawing its name; an older set makes room and is deleted."""
    if stored_description(folder) == describe(parameters):
        return  # another process was quicker, and may be reading its files already
    old = drawing.with_name(drawing.name + "-old")
    try:
        if folder.exists():
            os.replace(folder, old)
        os.replace(drawing, folder)
    except OSError:
        # Another process has drawn the same set meanwhile: its files are as good as ours.
        if stored_description(folder) != describe(parameters):
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def draw_set(
    folder: Path,
    animals: list[Animal],
    parameters: TurtleParameters,
    progress: bool,
    n_workers: int,
) -> None:
    """Draw all photos into a folder, then write metadata.csv and parameters.json."""
    n_photos = sum(animal.n_photos for animal in animals)
    if n_photos < FEWEST_PHOTOS_FOR_WORKERS:
        n_workers = 1
    rows = []
    with tqdm(total=n_photos, desc="drawing turtles", unit="photo", disable=not progress) as bar:
        for animal_rows in draw_animals(folder, animals, parameters, n_workers):
            rows += animal_rows
            bar.update(len(animal_rows))
    table = pd.DataFrame(rows).sort_values("image_id")
    write_text(folder / METADATA_FILE, table.to_csv(index=False, lineterminator="\n"))
    text = json.dumps(describe(parameters), indent=2) + "\n"
    write_text(folder / PARAMETERS_FILE, text)


def draw_animals(
    folder: Path, animals: list[Animal], parameters: TurtleParameters, n_workers: int
) -> Iterator[list[dict]]:
    """Metadata rows of one animal after the other, in the order in which they are done."""
    todo = {animal.identity: animal for animal in animals}
    if n_workers > 1:
        try:
            for rows in draw_in_workers(folder, animals, parameters, n_workers):
                todo.pop(rows[0]["identity"])
                yield rows
        except (BrokenProcessPool, OSError):
            pass  # no main guard in the script, too few open files, …: the rest is drawn here
    for animal in todo.values():
        yield draw_animal(folder, animal, parameters)


def draw_in_workers(
    folder: Path, animals: list[Animal], parameters: TurtleParameters, n_workers: int
) -> Iterator[list[dict]]:
    """The same with worker processes; animals with many photos go first."""
    context = multiprocessing.get_context("spawn")
    ordered = sorted(animals, key=lambda animal: -animal.n_photos)
    with ProcessPoolExecutor(n_workers, mp_context=context, initializer=prepare_worker) as pool:
        jobs = [pool.submit(draw_animal, folder, animal, parameters) for animal in ordered]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def prepare_worker() -> None:
    """One thread per process; Ctrl-C is answered by the process that started this one, and a kill.

    A worker whose pool is gone would wait for work for ever.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait for the end of the process that started this one, and end then."""
    multiprocessing.parent_process().join()
    os._exit(1)


def draw_animal(folder: Path, animal: Animal, parameters: TurtleParameters) -> list[dict]:
    """Draw and store all photos of one animal; returns their metadata rows."""
    first = folder / photo_path(animal, animal.encounters[0].photos[0])
    first.parent.mkdir(parents=True, exist_ok=True)
    skin = paint_skin(animal, parameters)
    rows = []
    for encounter in animal.encounters:
        look = make_look(animal, encounter, parameters)
        face = make_face(animal, encounter, skin, parameters)
        for photo in encounter.photos:
            picture = draw_photo(animal, encounter, photo, face, look, parameters)
            store_jpeg(folder / photo_path(animal, photo), picture, look)
            rows.append(metadata_row(animal, encounter, photo, picture))
    return rows


def photo_path(animal: Animal, photo: Photo) -> str:
    """Where a photo lies below the folder, with forward slashes."""
    return f"photos/{animal.identity}/{photo.image_id}.jpg"


def store_jpeg(path: Path, picture: Picture, look: Look) -> None:
    """Write the image as the encounter's camera compresses it."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, look.camera.jpeg_quality]
    # Encoded here and written by Python: OpenCV can't write to every path on Windows.
    _, encoded = cv2.imencode(".jpg", picture.image[..., ::-1], quality)
    write_bytes(path, encoded.tobytes())


def metadata_row(animal: Animal, encounter: Encounter, photo: Photo, picture: Picture) -> dict:
    """One row of metadata.csv: the catalogue's columns first, then the truth."""
    return {
        "image_id": photo.image_id,
        "identity": animal.identity,
        "path": photo_path(animal, photo),
        "date": encounter.day.isoformat(),
        "orientation": photo.orientation,
        "encounter": encounter.name,
        "is_newcomer": animal.is_newcomer,
        "year_first_seen": animal.encounters[0].day.year,
        "camera": encounter.camera,
        "background": encounter.background,
        "animal_share": round(float(picture.mask.mean()), 3),
        "visible_share": round(picture.visible_share, 3),
    }


def true_pictures(folder: Path, image_ids: Iterable[str]) -> Iterator[Picture]:
    """Draw stored photos again, to know which pixels show the animal.

    Args:
        image_ids: of metadata.csv; photos of one encounter are quickest in a row.

    Yields:
        The picture of each photo, before JPEG, with the mask of the animal.

    Raises:
        InputError: the folder holds no turtles of this drawing version, or an image_id is
            not among them.
    """
    parameters = read_parameters(Path(folder))
    planned = {
        photo.image_id: (animal, encounter, photo)
        for animal in plan_population(parameters)
        for encounter in animal.encounters
        for photo in encounter.photos
    }
    prepared_name, face, look = "", None, None
    for image_id in image_ids:
        if image_id not in planned:
            raise InputError(
                f"found image_id {image_id}, expected one of the {len(planned)} photos listed "
                f"in {Path(folder) / METADATA_FILE}; choose one from there."
            )
        animal, encounter, photo = planned[image_id]
        if prepared_name != encounter.name:
            face = make_face(animal, encounter, paint_skin(animal, parameters), parameters)
            prepared_name, look = encounter.name, make_look(animal, encounter, parameters)
        yield draw_photo(animal, encounter, photo, face, look, parameters)


def read_parameters(folder: Path) -> TurtleParameters:
    """The parameters that the turtles of a folder were drawn with.

    Raises:
        InputError: the folder holds no turtles, or turtles of another drawing version.
    """
    stored = stored_description(folder) or {}
    names = {field.name for field in fields(TurtleParameters)}
    values = stored.get("parameters", {})
    if stored.get("drawing_version") != DRAWING_VERSION or set(values) != names:
        raise InputError(
            f"found no turtles of drawing version {DRAWING_VERSION} in {folder}, expected "
            f"{PARAMETERS_FILE} of this version; draw them with ensure_turtles."
        )
    return TurtleParameters(**values)
