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

from common.cli import make_parser, present_path, run_script, shared_flags, whole_number


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "seed", "device", "output_dir",
        "smoke", image_size=192,
    )  # fmt: skip
    parser.add_argument(
        "--trained", type=present_path, metavar="FILE",
        help="model.safetensors of metric_learning.py, trained on the same split; its own backbone "
        "and image size count (default: the backbone as it comes)",
    )  # fmt: skip
    parser.add_argument(
        "--shortlist", type=whole_number(2, 1_000), default=50, metavar="N",
        help="most candidates of a query whose details are compared; validation may choose fewer "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--n_enrolled", type=whole_number(1, 1_000), default=5, metavar="N",
        help="photos that are enrolled of each animal that joined (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.image_size, args.shortlist = 64, min(args.shortlist, 10)
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    import time

    from common.data.images import PhotoDataset, evaluation_transform, read_photos
    from common.machine.device import pick_device
    from common.matching.local_features import read_local_features, same_details, score_shortlists
    from common.matching.ranking_tables import cost_table
    from common.matching.reordering import choose_settings, ways_to_order
    from common.matching.shortlists import Asked
    from common.models.extraction import extract
    from common.runs import start_run
    from common.splits.questions import questions_of
    from common.splits.study import open_study

    import numpy as np

    run = start_run(__file__, args)

    # Photos, split, leak; who is asked on validation photos, and likewise on test photos.
    study = open_study(args)
    questions = questions_of(study.catalogue, study.split, n_enrolled=[args.n_enrolled])
    rows = {"validation": validation_queries(questions, study.catalogue, args),
            "test": test_queries(questions)}  # fmt: skip
    parts = [part for own in rows.values() for sides in own.values() for part in sides]
    asked_rows = np.unique(np.concatenate(parts))

    # One embedding for all ways, and the details of every photo, found once.
    model, device = load_model(args), pick_device(args.device)
    paths = study.catalogue.paths()
    n_queries = sum(len(query) for own in rows.values() for query, _ in own.values())
    minutes = expected_minutes(model, [paths[row] for row in asked_rows], n_queries, args, device)
    print(f"Expected: about {minutes:.1f} minutes.")
    preprocessing = model.backbone.preprocessing
    pixels = read_photos(paths, preprocessing.stored_size)
    photos = PhotoDataset(pixels, study.labels, evaluation_transform(preprocessing))
    embeddings = extract(model, photos, device=device, title="embeddings")
    start = time.perf_counter()
    found = read_local_features([paths[row] for row in asked_rows])
    seconds_to_read = (time.perf_counter() - start) / len(asked_rows)
    features = dict(zip(asked_rows.tolist(), found, strict=True))

    # Validation chooses the settings and teaches what scores mean; then the test is asked, once.
    encounter = study.catalogue.table["encounter"].to_numpy(dtype=str)

    def queries_of(part: str) -> tuple[list, list]:
        asked = [Asked(query, gallery, embeddings, study.identity, encounter, args.shortlist)
                 for query, gallery in rows[part].values()]  # fmt: skip
        n_same = [
            score_shortlists(
                lambda *pair: len(same_details(*(features[row] for row in pair))[0]),
                each.query, each.gallery[each.shortlist],
            )
            for each in asked
        ]  # fmt: skip
        return asked, n_same

    settings, tried = choose_settings(*queries_of("validation"))
    asked, n_same = queries_of("test")
    ways = {name: ways_to_order(*each, settings)
            for name, *each in zip(rows["test"], asked, n_same, strict=True)}  # fmt: skip
    asked = dict(zip(rows["test"], asked, strict=True))
    reports = {name: {way: asked[name].evaluate(block) for way, block in own.items()}
               for name, own in ways.items()}  # fmt: skip
    costs = cost_table(list(asked.values())[-1], settings, features, paths, seconds_to_read)
    return report(
        run, args, study, questions, asked, ways, reports, settings, tried, costs, features, device
    )  # fmt: skip


def validation_queries(questions, catalogue, args) -> dict:
    """Question to rows of queries and of gallery, as the test asks, on validation photos."""
    from common.splits.gallery_query import gallery_and_query

    import numpy as np

    queries = {"known animals": (questions.validation_known, questions.train)}
    if len(questions.validation_new):
        newcomers = gallery_and_query(
            catalogue, questions.validation_new, n_gallery=args.n_enrolled, seed=args.seed
        )
        gallery = np.union1d(questions.train, newcomers.gallery)
        queries["joined later"] = (newcomers.query, gallery)
    return {name: sides for name, sides in queries.items() if len(sides[0])}


def test_queries(questions) -> dict:
    """Question to rows of queries and of gallery."""
    queries = {"known animals": (questions.known, questions.train),
               "joined later": (questions.joined, questions.trainable)}  # fmt: skip
    return {name: sides for name, sides in queries.items() if len(sides[0])}


def load_model(args):
    """Photos to embeddings: a trained model, or the backbone as it comes."""
    from common.errors import InputError
    from common.models.backbones import load_backbone
    from common.models.heads import EmbeddingHead, Recogniser
    from common.models.storage import load_recogniser

    import torch

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


def expected_minutes(model, paths, n_queries, args, device) -> float:
    """Minutes on this machine, from a trial of each part."""
    import itertools
    import os
    import time

    from common.machine.timing import images_per_second
    from common.matching.local_features import read_local_features, same_details

    import torch

    side = model.backbone.preprocessing.image_size
    inputs = torch.zeros(32, 3, side, side, device=device)
    seconds = len(paths) / images_per_second(model.to(device), inputs, is_training=False)
    tried = paths[:: max(1, len(paths) // 8)][:8]
    start = time.perf_counter()
    features = read_local_features(tried, progress=False)
    seconds += len(paths) * (time.perf_counter() - start) / len(tried)
    start = time.perf_counter()
    n_pairs = len([same_details(*pair) for pair in itertools.combinations(features, 2)])
    seconds_a_pair = (time.perf_counter() - start) / n_pairs / (os.cpu_count() or 1)
    return (seconds + n_queries * args.shortlist * seconds_a_pair) / 60 + 0.3


def report(
    run, args, study, questions, asked, ways, reports, settings, tried, costs, features, device
) -> dict:
    """Tables, figures, and what the numbers allow to say."""
    from common.matching.ranking_tables import compare_ways
    from common.matching.reordering import EMBEDDING
    from common.runs import describe_split
    from common.visualization.bars import interval_chart
    from common.visualization.detail_matches import example_details

    import pandas as pd

    animals = {name: study.identity[each.query] for name, each in asked.items()}
    table, chart, differences = compare_ways(reports, animals)
    costs = costs[costs["way"].isin(table["way"])]
    figures = {
        "mAP of each way, with 95 % intervals over animals": interval_chart(
            chart, run.figure_path("rankings.png"), value="mAP", label="way", group="question",
        )
    }  # fmt: skip
    question = list(asked)[-1]
    drawn = example_details(
        asked[question], ways[question], features, study.catalogue.paths(),
        run.figure_path("details.png"), title=question,
    )  # fmt: skip
    if drawn:
        figures["Queries, what each way puts first, and the details that are the same"] = drawn
    notes = [
        "Intervals: 95 %, over animals; differences are paired, photo by photo. "
        + "; ".join(
            f"{name}: {len(each.query)} photos of "
            f"{len(set(animals[name]))} animals, {len(each.gallery)} in the "
            "gallery"
            for name, each in asked.items()
        )
        + ".",
        "ms per query: on top of the network's own time, which all ways share; one query at a "
        "time, but for queries together. MB held: for the gallery, embeddings included.",
        "Photos of a query's own encounter are no candidates and are ignored; a query whose animal "
        "has no others is a miss.",
        "SIFT alone: candidates with as many details are tied, and ties count against the right "
        "photo.",
        *questions.reasons,
    ]
    if settings.meanings is None:
        notes.append("Fusion is skipped: no validation photo can teach what a score means, and "
                     "re-ranking has the settings of its paper.")  # fmt: skip
    if args.trained:
        notes.append("A stored model does not say which photos it was trained on: the figures "
                     "hold for a model of this split.")  # fmt: skip
    tables = {
        "What each way finds": table,
        f"Against {EMBEDDING}": differences,
        "What each way costs": costs,
        "Chosen on validation": pd.DataFrame(tried),
    }
    return run.finish(
        metrics={
            "ways": table, "differences": differences, "costs": costs,
            "settings": {name: value for name, value in vars(settings).items()
                         if name != "meanings"},
            "meanings": {name: meaning.to_dict()
                         for name, meaning in (settings.meanings or {}).items()},
            "reports": {question: {way: each.to_dict() for way, each in own.items()}
                        for question, own in reports.items()},
        },
        split=describe_split(study.split, study.leak),
        tables={title: each for title, each in tables.items() if len(each)},
        figures=figures,
        notes=notes,
        device=str(device),
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
