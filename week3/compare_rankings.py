"""Compare rankings: what do re-ranking and local features buy, and what do they cost?

Question: an embedding ranks the gallery by one number per pair of photos. Their neighbourhoods
(k-reciprocal re-ranking) and their details (SIFT) say more: is an animal found more often, and at
what price?

    python week3/compare_rankings.py
    python week3/compare_rankings.py --trained path/to/model.safetensors
    python week3/compare_rankings.py --data_dir path/to/your/animals --image_size 224

With no argument: the embedded turtles and the backbone as it comes, about three minutes on two
laptop cores (the script says how many here before it starts). You should see details of the skin
find far more turtles than the ImageNet network does, for a fraction of a second a query.
Validation photos choose all settings and teach what each score means; test photos are looked at
once.
"""

import argparse
import time
from pathlib import Path

from common import cli
from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.errors import InputError
from common.machine.device import pick_device
from common.machine.timing import images_per_second
from common.matching.local_features import LocalFeatures
from common.matching.matchers import Matcher, load_matcher, score_shortlists
from common.matching.reordering import EMBEDDING, Settings, choose_settings, ways_to_order
from common.matching.shortlists import Asked
from common.models.backbones import load_backbone
from common.models.extraction import extract
from common.models.heads import EmbeddingHead, Recogniser
from common.models.storage import load_recogniser
from common.runs import describe_split, start_run
from common.splits.gallery_query import gallery_and_query
from common.splits.questions import Questions, questions_of
from common.splits.study import Study, open_study
from common.visualization.bars import interval_chart
from common.words import counted, expected_time
from ranking_tables import compare_ways, cost_table, example_details

import numpy as np
import pandas as pd
import torch

MAP_TITLE = "mAP of each way, with 95 % intervals over animals"
DETAILS_TITLE = "Queries, what each way puts first, and the details that are the same"
Sides = dict[str, tuple[np.ndarray, np.ndarray]]  # question to rows of queries and of the gallery


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.make_parser(__doc__)
    cli.shared_flags(
        parser, "data_dir", "model", "weights", "split", "split_column", "seed", "device"
    )
    cli.shared_flags(parser, "output_dir", "smoke", image_size=192)
    words = (
        "model.safetensors of metric_learning.py, trained on the same split; its own backbone and "
        "image size count (default: the backbone as it comes)"
    )
    cli.add_flag(parser, "trained", cli.present_path, "FILE", words)
    words = "most candidates of a query whose details are compared; validation may choose fewer"
    cli.add_flag(parser, "shortlist", cli.whole_number(2, 1_000), "N", words, 50)
    words = "photos that are enrolled of each animal that joined"
    cli.add_flag(parser, "n_enrolled", cli.whole_number(1, 1_000), "N", words, 5)
    args = parser.parse_args(argv)
    if args.smoke:
        args.image_size, args.shortlist = 64, min(args.shortlist, 10)
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run, device = start_run(__file__, args), pick_device(args.device)

    # Photos, split, leak; who asks and what is searched, on validation photos and on test photos.
    study = open_study(args)
    questions = questions_of(study.catalogue, study.split, n_enrolled=[args.n_enrolled])
    validation, test = validation_queries(questions, study, args), test_queries(questions)
    sides = [*validation.values(), *test.values()]
    rows = np.unique(np.concatenate([each for pair in sides for each in pair]))
    n_queries = sum(len(query) for query, _ in sides)

    # One embedding for all ways, and the details of every photo, found once.
    model, paths = load_model(args), study.catalogue.paths()
    minutes = expected_minutes(model, [paths[row] for row in rows], n_queries, args, device)
    print(f"Expected: {expected_time(minutes)}.")
    embeddings = embed(model, study, device)
    matcher, start = load_matcher("sift"), time.perf_counter()
    found = matcher.describe([paths[row] for row in rows])
    seconds_to_read = (time.perf_counter() - start) / len(rows)
    features = dict(zip(rows.tolist(), found, strict=True))

    # Validation chooses the settings and teaches what scores mean; then the test is asked, once.
    def shortlists(queries: Sides) -> tuple[list[Asked], list[np.ndarray]]:
        asked = [ask(study, embeddings, *each, args.shortlist) for each in queries.values()]
        return asked, [count_same_details(matcher, each, features) for each in asked]

    settings, tried = choose_settings(*shortlists(validation))
    asked, n_same = (dict(zip(test, each, strict=True)) for each in shortlists(test))
    ways = {name: ways_to_order(asked[name], n_same[name], settings) for name in test}
    reports = {
        name: {way: asked[name].evaluate(block) for way, block in own.items()}
        for name, own in ways.items()
    }

    # Tables, figures, result.
    table, chart, differences = compare_ways(reports, asked)
    last = list(test)[-1]
    costs = cost_table(asked[last], settings, features, paths, seconds_to_read)
    costs = costs[costs["way"].isin(table["way"])]
    chosen = {"Chosen on validation": pd.DataFrame(tried)} if tried else {}
    details = example_details(
        asked[last], ways[last], features, paths, run.figure_path("details.png"), title=last
    )
    path = run.figure_path("rankings.png")
    map_chart = interval_chart(chart, path, value="mAP", label="way", group="question")
    return run.finish(
        metrics={"ways": table, "differences": differences, "costs": costs}
        | plain_settings(settings)
        | {"reports": reports},
        split=describe_split(study.split, study.leak),
        tables={"What each way finds": table, f"Against {EMBEDDING}": differences}
        | {"What each way costs": costs, **chosen},
        figures={MAP_TITLE: map_chart} | ({DETAILS_TITLE: details} if details else {}),
        notes=notes_on(asked, settings, args, questions),
        device=str(device),
    )


def validation_queries(questions: Questions, study: Study, args: argparse.Namespace) -> Sides:
    """Each question's queries and gallery as the test asks it, on validation photos."""
    queries = {"known animals": (questions.validation_known, questions.train)}
    if len(questions.validation_new):
        newcomers = gallery_and_query(
            study.catalogue, questions.validation_new, n_gallery=args.n_enrolled, seed=args.seed
        )
        gallery = np.union1d(questions.train, newcomers.gallery)
        queries["joined later"] = (newcomers.query, gallery)
    return {name: sides for name, sides in queries.items() if len(sides[0])}


def test_queries(questions: Questions) -> Sides:
    """Each question's queries, and the gallery that is searched for them."""
    queries = {
        "known animals": (questions.known, questions.searched),
        "joined later": (questions.joined, questions.with_enrolled),
    }
    return {name: sides for name, sides in queries.items() if len(sides[0])}


def ask(
    study: Study, embeddings: np.ndarray, query: np.ndarray, gallery: np.ndarray, n_candidates: int
) -> Asked:
    """Queries, their gallery, and on each shortlist the most alike photos that count.

    The same-encounter rule: a photo of the query's own encounter is no candidate and is ignored.
    """
    encounter = study.catalogue.table["encounter"].to_numpy(dtype=str)
    return Asked(query, gallery, embeddings, study.identity, encounter, n_candidates)


def count_same_details(
    matcher: Matcher, asked: Asked, features: dict[int, LocalFeatures]
) -> np.ndarray:
    """How many details each query has in common with each candidate, like `Asked.shortlist`."""
    return score_shortlists(matcher, features, asked.query, asked.gallery[asked.shortlist])


def load_model(args: argparse.Namespace) -> Recogniser:
    """Photos to embeddings: a trained model, or the backbone as it comes."""
    if args.trained:
        model, _ = load_recogniser(args.trained)
        if not isinstance(model.head, EmbeddingHead):
            raise InputError(
                f"--trained {args.trained}: holds a classifier, expected an embedding; take the "
                "model.safetensors of week3/metric_learning.py"
            )
        return model
    torch.manual_seed(args.seed)  # of a backbone that begins with random numbers
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    return Recogniser(backbone, EmbeddingHead(backbone.n_features))


def embed(model: Recogniser, study: Study, device: torch.device) -> np.ndarray:
    """Embeddings of the whole catalogue, shape (n_images, embedding_dim)."""
    preprocessing = model.backbone.preprocessing
    pixels = read_photos(study.catalogue.paths(), preprocessing.stored_size)
    photos = PhotoDataset(pixels, study.labels, evaluation_transform(preprocessing))
    return extract(model, photos, device=device, title="embeddings")


def expected_minutes(
    model: Recogniser,
    paths: list[Path],
    n_queries: int,
    args: argparse.Namespace,
    device: torch.device,
) -> float:
    """Minutes on this machine, from a trial of each part."""
    side = model.backbone.preprocessing.image_size
    inputs = torch.zeros(32, 3, side, side, device=device)
    seconds = len(paths) / images_per_second(model.to(device), inputs, is_training=False)
    tried = paths[:: max(1, len(paths) // 8)][:8]
    matcher, start = load_matcher("sift"), time.perf_counter()
    features = matcher.describe(tried)
    seconds += len(paths) * (time.perf_counter() - start) / len(tried)
    start = time.perf_counter()
    for each in features:
        matcher.scores(each, features)
    seconds_a_pair = (time.perf_counter() - start) / len(features) ** 2
    return (seconds + n_queries * args.shortlist * seconds_a_pair) / 60 + 0.3


def plain_settings(settings: Settings) -> dict:
    """What validation decided, as a result file keeps it."""
    values = vars(settings).copy()
    meanings = values.pop("meanings") or {}
    return {"settings": values, "meanings": meanings}


def notes_on(
    asked: dict[str, Asked], settings: Settings, args: argparse.Namespace, questions: Questions
) -> list[str]:
    """What a reader needs to judge the numbers."""
    counts = [
        f"{name}: {counted(len(each.query), 'photo')} of "
        f"{counted(len(set(each.identity[each.query])), 'animal')}, "
        f"{len(each.gallery)} in the gallery"
        for name, each in asked.items()
    ]
    notes = [
        "Intervals: 95 %, over animals; differences are paired, photo by photo. "
        f"{'; '.join(counts)}.",
        "ms per query: on top of the network's own time, which all ways share; one query at a "
        "time, but for queries together. MB held: for the gallery, embeddings included.",
        "Photos of a query's own encounter are no candidates and are ignored; a query whose animal "
        "has no others is a miss.",
        "SIFT alone: candidates with as many details are tied, and ties count against the right "
        "photo.",
        *questions.reasons,
    ]
    if settings.meanings is None:
        notes.append(
            "Fusion is skipped: no validation photo can teach what a score means, and re-ranking "
            "has the settings of its paper."
        )
    if args.trained:
        notes.append(
            "A stored model does not say which photos it was trained on: the figures hold for a "
            "model of this split."
        )
    return notes


if __name__ == "__main__":
    cli.run_script(main)
