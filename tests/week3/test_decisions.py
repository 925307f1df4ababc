"""What persons decided on pages and in tables: taken, or refused by its row; the later stands."""

import shutil

from common.data.photo_names import photo_id
from common.gallery.enrolment import open_gallery
from common.gallery.history import LOG, time_now
from common.gallery.photos import names_of_pictures

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from small_galleries import build, decide, held, refused, save_photos


@pytest.mark.parametrize("columns", ["path,identity", "path,identity,decision"])
def test_a_corrected_file_moves_the_photo(gallery, columns):
    answer = ",confirmed" if "decision" in columns else ""
    rows = f"new/0.png,anna{answer}", f"new/1.png,anna{answer}"
    build(gallery, *decide(gallery, *rows, columns=columns))

    result = build(gallery, *decide(gallery, rows[0], f"new/1.png,berta{answer}", columns=columns))

    assert held(gallery)["new/0.png"] == "anna"
    assert held(gallery)["new/1.png"] == "berta"
    assert result["tables"]["Enrolled"][0]["moved"] == 1
    assert "new/1.png: anna before, berta now." in result["notes"]


def test_a_correction_brings_its_date_and_side(gallery):
    columns = "path,identity,orientation,date,decision"
    build(gallery, *decide(gallery, "new/0.png,anna,,,confirmed", columns=columns))
    row = "new/0.png,berta,L,2024-05-31T10:11:00,another animal"
    build(gallery, *decide(gallery, row, columns=columns))

    facts = open_gallery(gallery).facts
    assert [facts[name][-1] for name in ("identity", "side", "date", "encounter")] == [
        "berta", "left", "2024-05-31T10:11:00", "berta:2024-05-31",
    ]  # fmt: skip


def test_a_confirmation_may_turn_into_a_new_individual_and_back(gallery):
    build(gallery, *decide(gallery, "new/0.png,anna,confirmed"))
    build(gallery, *decide(gallery, "new/0.png,carla,new individual"))
    assert held(gallery)["new/0.png"] == "carla"

    build(gallery, *decide(gallery, "new/0.png,anna,confirmed"))

    assert held(gallery)["new/0.png"] == "anna"
    assert "carla" not in held(gallery).values()


def test_a_new_individuals_file_can_be_added_twice_and_grow(gallery):
    rows = "new/0.png,carla,new individual", "new/1.png,carla,new individual"
    build(gallery, *decide(gallery, rows[0]))

    build(gallery, *decide(gallery, *rows))

    assert list(held(gallery).values()).count("carla") == 2


ROWS = [
    ("new/1.png,Anna,another animal", "row 3: 'another animal' Anna, which the gallery lacks"),
    ("new/1.png,ana,confirmed", "near it: anna"),
    ("new/1.png,zzz,Another animal", "row 3"),
    ("new/1.png,anna,new individual", "row 3: 'new individual' anna, but the gallery holds"),
    ("new/1.png,,new individual", "row 3: 'new individual' without a name"),
    ("new/1.png,  ,another animal", "row 3: 'another animal' without a name"),
    ("new/1.png,unknown,confirmed", "row 3: 'confirmed' without a name"),
    ("new/1.png,nan,new individual", "'nan' is none; --keep_names nan if it is one"),
    ("new/1.png,anna,cannot be told", "row 3: 'cannot be told', but with the name anna"),
    ("new/0.png,,cannot be told", "row 3: 'cannot be told', but another row names that photo anna"),
    ("new/1.png,01,new individual\nnew/2.png,1.0,new individual", "another row has 01, which a"),
    ("new/1.png,1,new individual\nnew/2.png,001,new individual", "--keep_names 001"),
    ("new/1.png,anna,maybe", "row 3: the decision 'maybe', expected confirmed"),
    ("../outside/0.png,anna,confirmed", "row 3: the path ../outside/0.png leads out of"),
    ("new/../../0.png,anna,confirmed", "--photos_elsewhere"),
    ("/etc/passwd,anna,confirmed", "row 3: the path /etc/passwd leads out"),
    ("new/1.png,BERTA,new individual", "but the gallery holds berta"),
    ("new/1.png,Bert\u200ba,new individual", "but the gallery holds berta"),
    ("new/1.png,ber\u200bta,new individual", "'new individual' berta, but the gallery holds"),
]


@pytest.mark.parametrize(("row", "words"), ROWS)
def test_an_answer_that_cannot_be_taken_is_refused_by_its_row(gallery, capsys, row, words):
    assert words in refused(capsys, gallery, *decide(gallery, "new/0.png,anna,confirmed", row))


def test_copies_of_a_photo_are_one_photo_to_a_persons_answers(gallery, capsys):
    shutil.copy(gallery.parent / "new" / "0.png", gallery.parent / "new" / "copy.png")
    rows = "new/0.png,anna,confirmed", "new/copy.png,,cannot be told"

    assert "row 3: 'cannot be told', but another" in refused(
        capsys, gallery, *decide(gallery, *rows)
    )


def test_one_animal_in_two_boxes_of_a_photo_is_refused(gallery, capsys):
    rows = 'new/0.png,anna,confirmed,"0,0,3,3"', 'new/0.png,anna,another animal,"3,3,3,3"'
    decisions = decide(gallery, *rows, columns="path,identity,decision,bbox")

    assert "row 3: anna is in two boxes of one photo" in refused(capsys, gallery, *decisions)


def test_a_photo_that_a_person_takes_back_is_named_until_it_is_forgotten(gallery, capsys):
    build(gallery, *decide(gallery, "new/0.png,carla,new individual"))

    line = refused(capsys, gallery, *decide(gallery, "new/0.png,,cannot be told"))

    assert "the gallery has it as carla: --forget it" in line


def test_a_file_of_a_photos_path_and_other_content_is_not_taken_for_it(
    gallery, capsys, monkeypatch
):
    (gallery.parent / "anna").mkdir()
    shutil.copy(gallery.parent / "new" / "0.png", gallery.parent / "anna" / "1.png")
    monkeypatch.chdir(gallery.parent)

    line = refused(capsys, gallery, "--forget", "anna/1.png")

    assert "no such photo, near it: " in line
    assert "anna/1.png of anna (" in line


@pytest.mark.parametrize("asked", ["", "identified 2999-01-01T00:00:00"])
def test_decisions_without_a_time_are_told_where_a_name_moved(asked, gallery, capsys):
    build(gallery, "--rename", "anna", "dora")
    build(gallery, "--rename", "berta", "anna")
    row, columns = "new/0.png,anna,confirmed", "path,identity,decision"

    result = build(gallery, *decide(gallery, f"{row},{asked}", columns=f"{columns},note"))

    assert any("another animal was called so" in note for note in result["notes"]) != bool(asked)
    assert any("1 answer of the future" in note for note in result["notes"]) == bool(asked)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--rename", "carla", "nina"], "'new individual' carla, who was renamed nina"),
        (["--move", "new/0.png", "berta"], "but a later decision (20"),
    ],
)
def test_an_older_file_does_not_undo_what_a_person_did_later(changes, words, gallery, capsys):
    row = "new/0.png,carla,new individual,identified 2000-01-01T00:00:00"
    decisions = decide(gallery, row, columns="path,identity,decision,asked")
    build(gallery, *decisions)
    build(gallery, *decisions)
    build(gallery, *changes)

    assert words in refused(capsys, gallery, *decisions)

    build(gallery, "--undo")
    build(gallery, *decisions)
    assert held(gallery)["new/0.png"] == "carla"


@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_pages_about_a_photo_the_later_one_counts(is_first, gallery, capsys):
    pages = [
        decide(
            gallery,
            f"new/0.png,{name},confirmed,identified 20{year}-01-01T00:00:00",
            columns="path,identity,decision,asked",
            name=f"{name}.csv",
        )
        for name, year in (("anna", 20), ("berta", 21))
    ]
    if is_first:
        build(gallery, *pages[0])
    build(gallery, *pages[1])
    (gallery / LOG).unlink()

    assert "'confirmed' anna, but a later decision (2021-01-01 00:00:00 UTC) made the" in refused(
        capsys, gallery, *pages[0]
    )
    assert held(gallery)["new/0.png"] == "berta"


@pytest.mark.parametrize("others", [["new/1.png,carla,new individual"], []])
def test_what_cannot_be_told_later_is_not_named_by_an_older_page(others, gallery, capsys):
    pages = [
        decide(
            gallery,
            *(f"{row},identified {year}-01-01T00:00:00" for row in rows),
            columns="path,identity,decision,asked",
            name=f"{year}.csv",
        )
        for year, rows in (
            (2020, ["new/0.png,anna,confirmed"]),
            (2021, ["new/0.png,,cannot be told", *others]),
            (2022, ["new/0.png,berta,confirmed"]),
        )
    ]
    notes = build(gallery, *pages[1])["notes"]

    assert "1 photo that cannot be told: an older page does not name it either." in notes
    assert "a later decision (2021-01-01 00:00:00 UTC) took it out, or says 'cannot" in refused(
        capsys, gallery, *pages[0]
    )
    build(gallery, *pages[2])
    assert held(gallery)["new/0.png"] == "berta"
    assert "a later decision (2022-01-01 00:00:00 UTC) made the photo one of berta" in refused(
        capsys, gallery, *pages[1]
    )


def test_a_copy_of_a_photo_with_another_name_is_refused_by_its_row(gallery, capsys):
    shutil.copy(gallery.parent / "new" / "0.png", gallery.parent / "new" / "copy.png")
    rows = ["new/0.png,anna,confirmed", "new/copy.png,berta,confirmed", "new/1.png,anna,confirmed"]

    line = refused(capsys, gallery, *decide(gallery, *rows))

    assert "row 2: 'confirmed' anna, but another row names that photo berta" in line


def test_of_a_page_that_was_saved_twice_the_last_one_counts(gallery, capsys):
    asked = "2020-01-01T00:00:00"
    first, last = (
        decide(
            gallery,
            f'new/0.png,{name},confirmed,"identified {asked}, saved {asked.replace("2020", year)}"',
            columns="path,identity,decision,asked",
            name=f"{name}.csv",
        )
        for name, year in (("anna", "2020"), ("berta", "2021"))
    )
    build(gallery, *first)
    build(gallery, *last)

    assert "a later decision (asked 2020-01-01 00:00:00, saved 2021" in refused(
        capsys, gallery, *first
    )


def test_a_decision_that_was_given_again_later_counts_from_then(gallery, capsys):
    columns = "path,identity,decision,asked"
    answer = "new/0.png,{},confirmed,identified {}-01-01T00:00:00"
    for year in (2020, 2022):
        build(gallery, *decide(gallery, answer.format("anna", year), columns=columns))

    words = refused(
        capsys, gallery, *decide(gallery, answer.format("berta", 2021), columns=columns)
    )

    assert "a later decision (2022-01-01 00:00:00 UTC) made the photo one of anna" in words


@pytest.mark.parametrize("way", ["--move", "page"])
@pytest.mark.parametrize("columns", ["path,identity", "path,identity,decision"])
def test_a_table_without_times_does_not_undo_a_decision(way, columns, gallery, capsys):
    table = decide(
        gallery, f"new/0.png,anna{',confirmed' * columns.count('decision')}", columns=columns
    )
    build(gallery, *table)
    row = "new/0.png,berta,another animal,identified 2999-01-01T00:00:00"
    page = decide(gallery, row, columns="path,identity,decision,asked", name="page.csv")
    build(gallery, *(page if way == "page" else ["--move", "new/0.png", "berta"]))

    assert "made" in refused(capsys, gallery, *table)


def test_decisions_about_other_photos_of_the_same_names_are_refused(gallery, capsys):
    asked, other = (gallery.parent / "new" / f"{i}.png" for i in (0, 1))
    columns = "path,identity,decision,content"
    right = f"new/0.png,carla,new individual,{photo_id(asked)}"
    wrong = f"new/1.png,dora,new individual,{photo_id(asked)}"

    line = refused(capsys, gallery, *decide(gallery, right, wrong, columns=columns))
    assert "row 3: a photo of that name is here, but of other content" in line

    edited = f"new/1.png,dora,new individual,{photo_id(other)}"
    build(gallery, *decide(gallery, right, edited, columns=columns))
    assert {"carla", "dora"} <= set(held(gallery).values())


def test_a_decision_about_a_photo_that_was_renamed_is_taken(gallery):
    photo = gallery.parent / "new" / "0.png"
    row = f"new/0.png,carla,new individual,{photo_id(photo)}"
    photo.rename(photo.with_name("carla_0.png"))

    build(gallery, *decide(gallery, row, columns="path,identity,decision,content"))

    assert held(gallery)["new/carla_0.png"] == "carla"


def test_decisions_stay_with_photos_whose_files_have_swapped_names(gallery):
    photos = [gallery.parent / "new" / f"{n}.png" for n in (0, 1)]
    names = "carla,new individual", "berta,confirmed"
    rows = [f"new/{n}.png,{names[n]},{photo_id(photos[n])}" for n in (0, 1)]
    photos[0].rename(photos[0].with_name("x.png"))
    photos[1].rename(photos[0])
    photos[0].with_name("x.png").rename(photos[1])

    build(gallery, *decide(gallery, *rows, columns="path,identity,decision,content"))

    assert (held(gallery)["new/0.png"], held(gallery)["new/1.png"]) == ("berta", "carla")


def test_a_decision_about_a_photo_whose_name_another_asked_photo_has_is_refused(gallery, capsys):
    photos = [gallery.parent / "new" / f"{n}.png" for n in (0, 1)]
    rows = [f"new/{n}.png,berta,confirmed,{photo_id(photos[n])}" for n in (0, 1)]
    photos[1].replace(photos[0])

    line = refused(
        capsys, gallery, *decide(gallery, *rows, columns="path,identity,decision,content")
    )

    assert "row 2: the photo that was asked about is not there, and another one" in line


def test_a_table_moves_a_photo_that_a_program_has_changed_since_as_it_was(gallery, built):
    photo = built / "data" / "anna" / "0.png"
    (gallery.parent / "anna").mkdir()
    changed = gallery.parent / "anna" / "0.png"
    Image.open(photo).rotate(90, expand=True).save(changed)
    row = f"anna/0.png,berta,{photo_id(photo)}"

    result = build(gallery, *decide(gallery, row, columns="path,identity,content"))

    assert held(gallery)["anna/0.png"] == "berta"
    assert len(held(gallery)) == 6
    told = "1 photo that a program has changed since: the gallery keeps what was there (anna/0.png)"
    assert any(told in note for note in result["notes"])


def test_another_photo_of_the_same_path_and_day_is_told(gallery):
    columns = "path,identity,date"
    build(gallery, *decide(gallery, "new/0.png,anna,2024-05-31", columns=columns))
    changed = gallery.parent / "new" / "0.png"
    Image.open(changed).rotate(90, expand=True).save(changed)

    row = "new/0.png,berta,2024-05-31"
    result = build(gallery, *decide(gallery, row, columns=columns))

    told = "seems to have had already (new/0.png of berta beside new/0.png of anna)"
    assert any(told in note for note in result["notes"])


def test_a_decision_about_a_photo_without_content_says_so(gallery, capsys):
    (gallery.parent / "new" / "0.png").write_bytes(b"")

    line = refused(capsys, gallery, *decide(gallery, "new/0.png,anna,confirmed"))

    assert "row 2: the photo is empty (0 bytes)" in line


def test_one_fault_of_several_rows_is_said_once(gallery, capsys):
    rows = [f"new/{n}.png,zoe,confirmed" for n in (0, 1, 2)]

    line = refused(capsys, gallery, *decide(gallery, *rows))

    assert "rows 2, 3, 4: 'confirmed' zoe, which the gallery lacks" in line
    assert line.count("zoe") == 1


def test_a_name_that_a_person_has_corrected_in_the_file_is_taken(gallery):
    photo = next(p for p, n in names_of_pictures(open_gallery(gallery)).items() if n == "anna")

    row = f"new/0.png,berta,confirmed,photo-{photo} anna"
    build(gallery, *decide(gallery, row, columns="path,identity,decision,seen"))

    assert held(gallery)["new/0.png"] == "berta"


@pytest.mark.parametrize("answer", ["confirmed", "another animal"])
@pytest.mark.parametrize("then", ["", " anna"])
def test_who_was_meant_is_the_animal_of_the_photo_that_stood_for_the_name(
    answer, then, gallery, capsys
):
    columns = "path,identity,decision,seen"
    pictures = {name: picture for picture, name in names_of_pictures(open_gallery(gallery)).items()}
    row = f"new/0.png,anna,{answer},photo-{pictures['anna']}{then}"
    build(gallery, "--remove", "anna")
    build(gallery, "--rename", "berta", "anna")

    line = refused(capsys, gallery, *decide(gallery, row, columns=columns))
    assert f"row 2: '{answer}' anna, but the photo that stood for anna is not in this" in line

    row = f"new/0.png,anna,{answer},photo-{pictures['berta']}{then}"
    build(gallery, *decide(gallery, row, columns=columns))
    assert len(held(gallery)) == 4


def test_a_sheets_table_without_its_decisions_is_refused(gallery, capsys):
    file = decide(gallery, "new/0.png,zoe,x,1", columns="path,identity,verdict,probability")

    assert "no column 'decision'" in refused(capsys, gallery, *file)


def test_all_such_rows_are_named_at_once(gallery, capsys):
    line = refused(capsys, gallery, *decide(gallery, *(row for row, _ in ROWS[:6])))

    assert "6 of 6 answers" in line
    assert "row 6" in line


def test_photos_elsewhere_are_taken_if_a_flag_says_so(gallery, tmp_path):
    [name] = save_photos(tmp_path / "elsewhere", 1, seed=11)
    (tmp_path / "sheets").mkdir()
    shutil.move(tmp_path / "gallery", tmp_path / "sheets" / "gallery")
    gallery = tmp_path / "sheets" / "gallery"

    build(gallery, *decide(gallery, f"../elsewhere/{name},anna,confirmed"), "--photos_elsewhere")

    assert list(held(gallery).values()).count("anna") == 4


def test_a_table_moves_no_photo_to_a_name_that_nobody_called_new(gallery, capsys):
    build(gallery, *decide(gallery, "new/0.png,anna", columns="path,identity"))

    line = refused(capsys, gallery, *decide(gallery, "new/0.png,otto", columns="path,identity"))

    assert "no animal is named otto" in line


@pytest.mark.parametrize(
    "taken_out", [["--forget", "new/0.png"], ["--remove", "berta"], ["--replace"]]
)
def test_an_older_page_does_not_bring_a_photo_back_under_a_name_that_was_corrected(
    gallery, built, capsys, taken_out
):
    columns = "path,identity,decision,asked"
    older, later = (
        [f'new/0.png,{name},confirmed,"identified {year}-01-01T00:00:00"']
        for name, year in (("anna", "2020"), ("berta", "2021"))
    )
    build(gallery, *decide(gallery, *older, columns=columns))
    build(gallery, *decide(gallery, *later, columns=columns))
    data = ["--data_dir", built / "data"] if taken_out == ["--replace"] else []
    build(gallery, *taken_out, *data)

    line = refused(capsys, gallery, *decide(gallery, *older, columns=columns))

    assert ("UTC) took it out" if data == [] else "(2021-01-01 00:00:00 UTC) made") in line
    build(gallery, "--undo")
    assert held(gallery)["new/0.png"] == "berta"


def test_a_photo_that_was_taken_out_stays_out_for_older_pages(gallery, built, capsys):
    row = 'data/anna/0.png,{},confirmed,"identified 2020-01-01T00:00:00"'
    shutil.copytree(built / "data", gallery.parent / "data")
    build(gallery, "--forget", "anna/0.png")

    def page(name):
        return decide(gallery, row.format(name), columns="path,identity,decision,asked")

    assert "UTC) took it out" in refused(capsys, gallery, *page("berta"))
    assert "UTC) took it out" in refused(capsys, gallery, *page("anna"))
    notes = build(gallery, "--add", "--data_dir", built / "data")["notes"]
    assert any("taken out of this gallery before (" in n and "of anna now" in n for n in notes)
    build(gallery, *page("anna"))
    assert "UTC) took it out" in refused(capsys, gallery, *page("berta"))


@pytest.mark.parametrize(("year", "name"), [("2021", "berta"), ("2019", "anna")])
def test_the_later_decision_stands_also_for_a_photo_whose_file_has_changed(
    gallery, capsys, year, name
):
    columns = "path,identity,decision,asked"

    def page(name, year):
        row = f'new/0.png,{name},confirmed,"identified {year}-01-01T00:00:00"'
        return decide(gallery, row, columns=columns)

    build(gallery, *page("anna", "2020"))
    tags = PngInfo()
    tags.add_text("Keywords", "reef")
    photo = gallery.parent / "new" / "0.png"
    Image.open(photo).save(photo, pnginfo=tags)

    if name == "berta":
        build(gallery, *page("berta", year))
    else:
        assert "was made one of anna by a decision" in refused(
            capsys, gallery, *page("berta", year)
        )

    assert held(gallery)["new/0.png"] == name


def test_a_name_that_was_written_for_a_join_is_not_taken_once_the_join_is_undone(
    gallery, built, capsys
):
    seen = photo_id(built / "data" / "anna" / "0.png")
    row = f'new/0.png,berta,confirmed,{seen} anna,"identified 2026-01-01T00:00:00"'
    page = decide(gallery, row, columns="path,identity,decision,seen,asked")
    build(gallery, "--rename", "anna", "berta", "--join")
    build(gallery, "--undo")

    line = refused(capsys, gallery, *page)

    assert "the photo that stood for berta shows anna here" in line


def test_who_was_meant_is_clear_from_a_photo_that_a_join_and_its_undoing_left_alone(gallery, built):
    build(gallery, "--rename", "anna", "berta", "--join")
    seen, now = photo_id(built / "data" / "berta" / "0.png"), time_now()
    row = f'new/0.png,berta,confirmed,{seen} berta,"identified {now}"'
    page = decide(gallery, row, columns="path,identity,decision,seen,asked")
    build(gallery, "--undo")

    build(gallery, *page)

    assert held(gallery)["new/0.png"] == "berta"


def test_names_of_which_a_spreadsheet_makes_one_number_are_not_both_taken(gallery, capsys):
    build(gallery, "--rename", "anna", "007")

    line = refused(capsys, gallery, "--rename", "berta", "7")
    assert "7 is new, but the gallery holds 007, which is one number with it" in line

    build(gallery, "--rename", "berta", "7", "--keep_names", "7")
    assert set(held(gallery).values()) == {"007", "7"}
