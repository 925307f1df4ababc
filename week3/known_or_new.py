"""Known or new: from which similarity on is a name believed?

Question: how alike are photos of known animals to the gallery, how alike are photos of animals
that nobody knows, and where does the threshold between them go?

    python week3/known_or_new.py
    python week3/known_or_new.py --trained path/to/model.safetensors

With no argument: the embedded turtles, seen by the embedding that metric_learning.py stored; under
a minute on two laptop cores. You should see two heaps of similarities that overlap: no threshold
parts them without mistakes. Two thresholds leave what lies between them to a person, and keep to
the shares of mistakes that you state, on test photos too (last table). Validation photos choose,
test photos are judged once. Take the --data_dir, --split and --seed that the embedding was trained
with: of other splits, it has seen the test photos.
"""

import argparse
from collections.abc import Mapping

from common import cli
from common.ending import run_script
from common.errors import InputError
from common.gallery import embedding
from common.gallery.gallery import Gallery
from common.gallery.scores import AskedScores, ask_catalogue, validation_scores_of
from common.gallery.verdicts import (
    FALSE_MATCH_RATE,
    FALSE_NEW_RATE,
    KNOWN,
    LOOK,
    NEW,
    Meaning,
    meaning_of,
    trust_sentence,
)
from common.measures.intervals import mean_columns
from common.measures.open_set import Queries, choose_threshold, evaluate_open_set
from common.runs import describe_split, start_run
from common.splits.questions import Questions, questions_of
from common.splits.study import Study, open_study
from common.visualization import style

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

PARTS = {
    "validation": "validation photos: they choose the threshold",
    "test": "test photos: judged once, at that threshold",
}
KINDS = ("known, named right", "known, named wrong", "new")
N_RANKED = 5  # gallery photos kept for each query


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    cli.shared_flags(parser, "data_dir", "split", "split_column", "seed", "device", "output_dir")
    cli.shared_flags(parser, "smoke")
    words = f"embedding that metric_learning.py stored (default: {embedding.TRAINED.as_posix()})"
    cli.add_flag(parser, "trained", cli.present_file, "FILE", words)
    rates = {"false_match_rate": FALSE_MATCH_RATE, "false_new_rate": FALSE_NEW_RATE}
    cli.shared_flags(parser, **rates)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    stored = args.trained or (None if args.smoke else embedding.stored_embedding())
    model = embedding.open_network(stored, args.seed)
    run = start_run(__file__, args)
    study = open_study(args)
    questions = questions_of(study.catalogue, study.split)
    if stored:
        embedding.refuse_seen(
            stored, study.catalogue, np.union1d(questions.validation, questions.test)
        )
    if not questions.can_reject:
        raise InputError(
            f"--split {study.split.name}: validation or test lacks photos of known or of new "
            "animals, of which a threshold needs both; take another --split, or more animals"
        )

    # Every photo's most alike gallery photo: whose is it, and how alike?
    embeddings = embedding.embed(model, study.catalogue.paths(), device=args.device)
    photos = most_alike(embeddings, questions, study)

    # Validation chooses the threshold; test photos are judged once.
    known = set(study.identity[questions.train])
    asked = {}
    for part, own in photos.groupby("part"):
        named, shown = own["named"].tolist(), own["identity"].tolist()
        asked[part] = Queries(own["similarity"].to_numpy(), named, shown, known=known)
    threshold = choose_threshold(asked["validation"]).value
    reports = {part: evaluate_open_set(asked[part], threshold) for part in PARTS}

    # Three verdicts: two thresholds, each at a stated share of mistakes, a person between them.
    asking = {"gallery": questions.searched, "known": questions.known, "new": questions.unknown}
    scores = validation_scores_of(embeddings.__getitem__, questions, study.catalogue)
    test = ask_catalogue(embeddings.__getitem__, study.catalogue, **asking, source="test photos")
    meaning = meaning_of(scores, "photo", args.false_match_rate, args.false_new_rate)
    verdicts = three_verdicts({"validation": scores.photos, "test": test.photos}, meaning)

    figure = similarity_histogram(photos, threshold)
    path = style.save_figure(figure, run.figure_path("known_or_new.png"))
    words = (
        f"Threshold: a similarity of {threshold:.3f}, of the largest √(BAKS·BAUS) in validation."
    )
    return run.finish(
        metrics={
            "threshold": threshold,
            "meaning": meaning.to_dict(),
            "photos": photos.to_dict("list"),
            "ranked": ranked(embeddings, questions, study),
        },
        split=describe_split(study.split, study.leak),
        tables={
            "Known or new, at one threshold": judged(reports),
            "Three verdicts, at two thresholds": verdicts,
        },
        figures={"How alike the most alike gallery photo is": path},
        notes=[words, meaning.text(), trust_sentence(scores, meaning), *questions.reasons],
    )


def most_alike(embeddings: np.ndarray, questions: Questions, study: Study) -> pd.DataFrame:
    """One row per photo asked: who it shows, whom it is most like, how much, and what that is.

    Validation is searched among training photos, the test among those and validation's.
    """
    sides = {
        "validation": (questions.validation, questions.train),
        "test": (questions.test, questions.searched),
    }
    parts = []
    for part, (asked, rows) in sides.items():
        gallery = Gallery(embeddings.shape[1])
        gallery.enrol(embeddings[rows], study.identity[rows])
        named, similarity = gallery.identify(embeddings[asked])
        identity = study.identity[asked]
        is_known = np.isin(identity, study.identity[questions.train])
        kind = np.select([~is_known, named == identity], [KINDS[2], KINDS[0]], KINDS[1])
        columns = {"identity": identity, "named": named, "similarity": similarity, "kind": kind}
        parts.append(pd.DataFrame({"part": part, **columns}))
    return pd.concat(parts, ignore_index=True)


def judged(reports: Mapping) -> pd.DataFrame:
    """What the threshold does to validation photos and to test photos."""
    measures = {"AUROC": "auroc", "BAKS": "baks", "BAUS": "baus", "√(BAKS·BAUS)": "geometric_mean"}
    rows = [
        {"photos of": part, "known": report.n_known, "new": report.n_unknown}
        | {name: getattr(report, attribute) for name, attribute in measures.items()}
        for part, report in reports.items()
    ]
    return pd.DataFrame(rows)


def three_verdicts(asked: Mapping[str, AskedScores], meaning: Meaning) -> pd.DataFrame:
    """Shares of photos with each verdict, of known and of new animals, with intervals over animals.

    A photo that nobody can be named on, for want of one of its animal's side, is not asked.
    """
    rows = []
    for part, own in asked.items():
        verdicts = np.array([meaning.verdict(each) for each in own.similarities])
        animals, known = np.array(own.animal), np.array(own.is_known, dtype=bool)
        for who, rows_of in {"known": known, "new": ~known}.items():
            row = {"photos of": f"{part}, {who} animals", "photos": int(rows_of.sum())}
            row["animals"] = len(np.unique(animals[rows_of]))
            for verdict in (KNOWN, LOOK, NEW):
                row |= mean_columns(verdict, verdicts[rows_of] == verdict, animals[rows_of])
            rows.append(row)
    return pd.DataFrame(rows)


def ranked(embeddings: np.ndarray, questions: Questions, study: Study) -> list[dict]:
    """Photos of animals that joined after training, each with the most alike gallery photos."""
    rows, query = questions.with_enrolled, questions.joined
    if not len(query):
        return []
    gallery = Gallery(embeddings.shape[1])
    gallery.enrol(embeddings[rows], study.identity[rows])
    similarity, found = gallery.search(embeddings[query], k=min(N_RANKED, len(rows)))
    names = study.catalogue.table["image_id"].to_numpy(dtype=str)
    return [
        {"query": names[row], "gallery": names[rows[own]], "similarity": alike}
        for row, own, alike in zip(query, found, similarity, strict=True)
    ]


def similarity_histogram(photos: pd.DataFrame, threshold: float) -> Figure:
    """Similarities of photos of known and of new animals, with the threshold between them.

    Args:
        photos: columns part, kind and similarity, as `most_alike` gives them.
    """
    figure = style.new_figure(8.4, 4.4)
    panels = figure.subplots(len(PARTS), 1, sharex=True)
    ends = photos["similarity"].min(), photos["similarity"].max()
    bins = np.linspace(*ends, 41)
    colours = style.COLOURS[0], style.COLOURS[4], style.COLOURS[1]
    for axes, (part, title) in zip(panels, PARTS.items(), strict=True):
        style.tidy(axes, title=title, grid="y")
        own = photos[photos["part"] == part]
        right, wrong, new = (own.loc[own["kind"] == kind, "similarity"] for kind in KINDS)
        axes.hist([right, wrong], bins, stacked=True, color=colours[:2], label=KINDS[:2])
        look = {"histtype": "stepfilled", "facecolor": f"{colours[2]}30", "edgecolor": "#a86f00"}
        axes.hist(new, bins, label=KINDS[2], linewidth=1.4, hatch="///", **look)
        line = {"color": style.INK, "linestyle": "--", "linewidth": 1.6}
        axes.axvline(threshold, label="threshold", **line)
        axes.set_ylabel("photos")
        axes.tick_params(labelsize=9)
    label_sides(panels[0], threshold)
    panels[-1].set_xlabel("similarity of the most alike gallery photo")
    style.legend_outside(panels[0], 4)
    for text in figure.legends[0].get_texts():
        text.set_fontsize(9.5)
    return figure


def label_sides(axes: object, threshold: float) -> None:
    """What the answer is on either side of the threshold, above all bars."""
    axes.set_ylim(top=1.15 * axes.get_ylim()[1])
    top = {"xy": (threshold, 0.92), "xycoords": axes.get_xaxis_transform(), "fontsize": 9.5}
    top |= {"textcoords": "offset points", "color": style.INK}
    axes.annotate('← "new individual"', xytext=(-6, 0), ha="right", **top)
    axes.annotate("a name →", xytext=(6, 0), ha="left", **top)


if __name__ == "__main__":
    run_script(main)
