"""The one picture in a README: what a query is, and what a gallery is, with three turtles.

`python tests/readme_pictures.py` draws it anew from the embedded turtles.
"""

from pathlib import Path

from common.turtles.dataset import ensure_turtles
from common.visualization.style import INK, SOFT, new_figure, save_figure, show_photo

PICTURE = Path(__file__).resolve().parents[1] / "week3" / "three_animals.png"
# Left faces from different years, so that water and light help nobody.
GALLERY = {
    "anna": ("t001_2016-09-03_1", "t001_2022-08-29_3"),
    "berta": ("t007_2015-06-25_2", "t007_2018-05-22_1"),
    "carla": ("t063_2022-06-23_2",),
}
QUERY = "t063_2023-07-26_4"


def draw(path: Path) -> Path:
    """Draw the gallery as a row per animal, and the query beside it."""
    photos = ensure_turtles() / "photos"
    figure = new_figure(4.8, 4.0)
    cells = figure.subplot_mosaic(
        [["anna 0", "anna 1", "query"], ["berta 0", "berta 1", "query"],
         ["carla 0", "none", "query"]],
        width_ratios=[1, 1, 1.6],
    )  # fmt: skip
    cells["none"].set_axis_off()
    cells["none"].text(0, 0.5, "joined today", fontsize=9, color=SOFT, va="center")
    for name, photo_names in GALLERY.items():
        for index, photo in enumerate(photo_names):
            show_photo(cells[f"{name} {index}"], photos / photo[:4] / f"{photo}.jpg")
        cells[f"{name} 0"].set_ylabel(name, fontsize=9, color=INK)
    show_photo(cells["query"], photos / QUERY[:4] / f"{QUERY}.jpg")
    cells["query"].set_xlabel("anna, berta, carla,\nor somebody new?", fontsize=9, color=INK)
    cells["anna 0"].set_title("gallery", loc="left", fontsize=10, color=SOFT)
    cells["query"].set_title("query", loc="left", fontsize=10, color=SOFT)
    return save_figure(figure, path)


if __name__ == "__main__":
    print(draw(PICTURE))
