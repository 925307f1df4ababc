"""Compare rankings: what do re-ranking and local matching buy, and what do they cost?

Question: an embedding ranks the gallery by one number per pair of photos. Their neighbourhoods
(k-reciprocal re-ranking) and their details (SIFT, XFeat, LightGlue) say more: is an animal found
more often, and at what price?

    python week3/compare_rankings.py
    python week3/compare_rankings.py --trained path/to/model.safetensors
    python week3/compare_rankings.py --matchers xfeat,aliked --device cuda
    python week3/compare_rankings.py --data_dir path/to/your/animals --image_size 224

With no argument: the embedded turtles and the backbone as it comes, a few minutes on two laptop
cores (the script says how many here before it starts). You should see details of the skin find far
more turtles than the ImageNet network does, for a fraction of a second a query.
Validation photos choose all settings and teach what each score means; test photos are looked at
once. What a matcher says of two photos is stored: a second model, or a run that was killed,
compares only what is new.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from common import cli
from common.ending import run_script
from common.errors import InputError
from common.gallery.embedding import embed, refuse_seen
from common.machine.device import pick_device
from common.machine.timing import images_per_second
from common.matching import reordering
from common.matching.matchers import MATCHERS, Matcher, load_matcher, why_missing
from common.matching.pair_scores import PairScores
from common.matching.reordering import EMBEDDING, RERANKED, WHOLE
from common.matching.shortlists import Asked, ScoreBlock
from common.models.backbones import load_backbone
from common.models.heads import EmbeddingHead, Recogniser
from common.models.storage import load_recogniser
from common.runs import Run, describe_split, start_run
from common.splits.gallery_query import gallery_and_query
from common.splits.questions import Questions, questions_of
from common.splits.study import Study, open_study
from common.visualization.bars import interval_chart
from common.visualization.charts import cost_scatter
from common.words import counted, expected_time
from ranking_tables import Costs, compare_ways, example_details

import numpy as np
import pandas as pd
import torch

DEFAULT = ("xfeat", "sift")
COST_TITLE = "Rank-1 over seconds a query"
MAP_TITLE = "mAP of each way, with 95 % intervals over animals"
DETAILS_TITLE = "Queries, what each way puts first, and the details that are the same"
NO_TIME = 0.001  # seconds that the figure begins with
MOST_TAUGHT = 100  # validation queries of known and of new animals each; more teach little more
N_TRIED = 6  # photos that are described and compared to say how long all will take
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
    cli.add_flag(parser, "trained", cli.present_file, "FILE", words)
    words = (
        f"what compares details, of {', '.join(MATCHERS)}; aliked and disk, matched by LightGlue, "
        "want a GPU here (default: xfeat, where it is installed, and sift)"
    )
    cli.add_flag(parser, "matchers", cli.list_of(cli.one_of(MATCHERS)), "NAME,...", words)
    words = "candidates of a query whose details are compared, but by xfeat, which compares all"
    cli.add_flag(parser, "shortlist", cli.whole_number(2, 1_000), "N", words, 50)
    words = "photos that are enrolled of each animal that joined"
    cli.add_flag(parser, "n_enrolled", cli.whole_number(1, 1_000), "N", words, 5)
    args = parser.parse_args(argv)
    cli.refuse_beside(parser, argv, "trained", "model", "weights", "image_size")
    if args.smoke:
        args.image_size, args.shortlist = 64, min(args.shortlist, 10)
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run, device = start_run(__file__, args), pick_device(args.device)
    matchers, missing = chosen_matchers(args, device)

    # Photos, split, leak; who asks and what is searched, on validation photos and on test photos.
    study = open_study(args)
    questions = questions_of(study.catalogue, study.split, n_enrolled=[args.n_enrolled])
    if args.trained:
        refuse_seen(args.trained, study.catalogue, np.union1d(questions.validation, questions.test))
    validation, test = validation_queries(questions, study, args), test_queries(questions)
    rows = np.unique(np.concatenate([np.union1d(*each) for each in [*validation, *test.values()]]))

    # One embedding for all ways, and the details of every photo, found once.
    model, paths, labels = load_model(args), study.catalogue.paths(), study.labels
    minutes = expected_minutes(model, matchers, paths, rows, [*validation, *test.values()], args)
    print(f"Expected: {expected_time(minutes)}.")
    embeddings = embed(model, paths, device=args.device)
    start = time.perf_counter()
    scores = {matcher.name: PairScores(matcher, paths, rows) for matcher in matchers}
    print(f"Details of {counted(len(rows), 'photo')}: {time.perf_counter() - start:.0f} s.")

    # Validation chooses the settings and teaches what scores mean; then the test is asked, once.
    taught = [ask(study, embeddings, *each, args.shortlist) for each in validation]
    settings, reranked_map = reordering.choose_settings(taught)
    scores, chosen = reordering.choose_details(taught, scores)
    with ExitStack() as stored:
        for each in scores.values():
            stored.enter_context(each.stored())
        routes = reordering.learn_routes(taught, labels, scores, args.shortlist)
        asked = {name: ask(study, embeddings, *each, args.shortlist) for name, each in test.items()}
        ways, n_pairs = {}, {}
        for name, each in asked.items():
            ways[name], n_pairs[name] = order(each, labels, scores, routes, settings, name)
    reports = {
        name: {way: asked[name].evaluate(block) for way, block in own.items()}
        for name, own in ways.items()
    }

    # Tables, figures, result.
    table, chart, differences = compare_ways(reports, asked)
    first = next(iter(test))  # one question's ways are timed, and shown
    costs = Costs(asked[first], labels, scores, paths).table(settings, routes, n_pairs[first])
    figures = draw(run, chart, costs)
    last, *_ = reversed(ways[first])
    examples = run.figure_path("details.png")
    compared = [*scores.values()][-1]
    if example_details(asked[first], ways[first], last, compared, paths, examples, title=first):
        figures[DETAILS_TITLE] = examples
    return run.finish(
        metrics={"ways": table, "differences": differences, "costs": costs}
        | {"settings": vars(settings) | {"validation mAP": reranked_map}, "details": chosen}
        | {"reports": reports},
        split=describe_split(study.split, study.leak),
        tables={"What each way finds": table, f"Against {EMBEDDING}": differences}
        | {"What each way costs": costs},
        figures=figures,
        notes=missing + notes_on(asked, taught, chosen, args, questions),
        device=str(device),
    )


def draw(run: Run, chart: pd.DataFrame, costs: pd.DataFrame) -> dict[str, Path]:
    """Each way's rank-1 over what it costs, and its mAP."""
    seconds = costs["s per query"].clip(lower=NO_TIME)
    priced = chart.merge(costs[["way"]].assign(seconds=seconds), on="way")
    columns = {"cost": "seconds", "value": "rank-1", "label": "way", "group": "question"}
    words = {"cost_name": "seconds a query", "value_name": "rank-1"}
    scatter = cost_scatter(priced, run.figure_path("seconds.png"), **columns, **words)
    columns = {"value": "mAP", "label": "way", "group": "question"}
    intervals = interval_chart(chart, run.figure_path("rankings.png"), **columns)
    return {COST_TITLE: scatter, MAP_TITLE: intervals}


def chosen_matchers(args: argparse.Namespace, device: torch.device) -> tuple[list[Matcher], list]:
    """The matchers to compare, and a note on each that cannot be had though nobody named it."""
    if args.matchers:
        return [load_matcher(name, device) for name in args.matchers], []
    missing = {name: reason for name in DEFAULT if (reason := why_missing(name))}
    notes = [f"{reordering.TITLES[name]} is left out: {why}." for name, why in missing.items()]
    return [load_matcher(name, device) for name in DEFAULT if name not in missing], notes


def validation_queries(
    questions: Questions, study: Study, args: argparse.Namespace
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Queries and gallery of known and of new animals, as the test asks, on validation photos."""
    queries = [(questions.validation_known, questions.train)]
    if len(questions.validation_new):
        newcomers = gallery_and_query(
            study.catalogue, questions.validation_new, n_gallery=args.n_enrolled, seed=args.seed
        )
        gallery = np.union1d(questions.train, newcomers.gallery)
        queries.append((newcomers.query, gallery))
    generator = np.random.default_rng(args.seed)
    return [
        (np.sort(generator.permutation(query)[:MOST_TAUGHT]), gallery)
        for query, gallery in queries
        if len(query)
    ]


def test_queries(questions: Questions) -> Sides:
    """Each question's queries, and the gallery that is searched for them.

    Where no test photo shows a known animal, all photos of the new ones are ranked, too.
    """
    queries = {
        "known animals": (questions.known, questions.searched),
        "joined later": (questions.joined, questions.with_enrolled),
    }
    if not len(questions.known):
        everybody = np.union1d(questions.unknown, questions.searched)
        queries["never trained on, ranked"] = (questions.unknown, everybody)
    return {name: sides for name, sides in queries.items() if len(sides[0])}


def order(
    asked: Asked,
    labels: np.ndarray,
    scores: dict[str, PairScores],
    routes: dict[str, reordering.Route],
    settings: reordering.Settings,
    question: str,
) -> tuple[dict[str, ScoreBlock], dict[str, float]]:
    """Scores of the whole gallery in each way, and pairs that each compares, a query."""
    ways = {EMBEDDING: asked.cosines, RERANKED: reordering.rerank(asked, settings).block}
    n_pairs = {}
    for name in ("xfeat", "sift"):
        if name in scores:
            way = f"{reordering.TITLES[name]} alone"
            ways[way], n_pairs[way] = reordering.details_alone(asked, scores[name])
    for way, route in routes.items():
        title = f"{question}, {way}"
        ways[way], n_pairs[way] = reordering.follow(route, asked, labels, scores, title)
    return ways, n_pairs


def ask(
    study: Study, embeddings: np.ndarray, query: np.ndarray, gallery: np.ndarray, n_candidates: int
) -> Asked:
    """Queries, their gallery, and on each shortlist the most alike photos that count.

    The same-encounter rule: a photo of the query's own encounter is no candidate and is ignored.
    """
    photos = study.catalogue.table
    encounter, side = (photos[name].to_numpy(dtype=str) for name in ("encounter", "orientation"))
    return Asked(query, gallery, embeddings, study.identity, encounter, n_candidates, side)


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


def expected_minutes(
    model: Recogniser,
    matchers: Sequence[Matcher],
    paths: Sequence[Path],
    rows: np.ndarray,
    sides: Sequence[tuple[np.ndarray, np.ndarray]],
    args: argparse.Namespace,
) -> float:
    """Minutes on this machine, from a trial of each part; what is stored takes less."""
    device, side = pick_device(args.device), model.backbone.preprocessing.image_size
    inputs = torch.zeros(32, 3, side, side, device=device)
    seconds = len(paths) / images_per_second(model.to(device), inputs, is_training=False)
    tried = [paths[row] for row in rows[:: max(1, len(rows) // N_TRIED)][:N_TRIED]]
    for matcher in matchers:
        start = time.perf_counter()
        features = matcher.describe(tried)
        seconds += len(rows) * (time.perf_counter() - start) / len(tried)
        n_pairs = sum(
            len(query) * (len(gallery) if matcher.name == WHOLE else args.shortlist)
            for query, gallery in sides
        )
        many = features[1:] * (40 if matcher.name == WHOLE else 1)
        start = time.perf_counter()
        matcher.scores(features[0], many)
        seconds += n_pairs * (time.perf_counter() - start) / len(many)
    return seconds / 60 + 0.3


def notes_on(
    asked: dict[str, Asked],
    taught: Sequence[Asked],
    chosen: dict[str, float],
    args: argparse.Namespace,
    questions: Questions,
) -> list[str]:
    """What a reader needs to judge the numbers."""
    counts = [
        f"{name}: {counted(len(each.query), 'photo')} of "
        f"{counted(len(set(each.identity[each.query])), 'animal')}, "
        f"{len(each.gallery)} in the gallery"
        for name, each in asked.items()
    ]
    n_taught = sum(len(each.query) for each in taught)
    kinds = ", ".join(f"{kind} {value:.3f}" for kind, value in chosen.items())
    return [
        "Intervals: 95 %, over animals; differences are paired, photo by photo. "
        f"{'; '.join(counts)}.",
        f"What a score means is learned from {counted(n_taught, 'validation photo')}; "
        f"{MOST_TAUGHT} are drawn by chance where known or new animals have more."
        if n_taught
        else "Only re-ranking, with its paper's settings, and details alone are compared: no "
        "validation photo can teach what a score means.",
        "s per query: beside the network's own time, which all ways share; one query after the "
        "other, describing it included. s once and MB held: for the gallery.",
        f"Pairs: XFeat compares the whole gallery, the others {args.shortlist} photos, three of "
        "an animal at most. A left side is not compared with a right one.",
        *([f"Details that count, by the mAP of validation photos: {kinds}."] if chosen else []),
        "Photos of a query's own encounter are no candidates and are ignored; a query whose animal "
        "has no others is a miss. Ties count against the right photo.",
        *questions.reasons,
    ]


if __name__ == "__main__":
    run_script(main)
