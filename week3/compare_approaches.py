"""The course's finding: classification or embedding, for telling animals apart?

Question: given a photo of an animal, which individual is it, and is it one we know at all?
A classifier has one output per animal; an embedding puts photos of one animal close together and
searches. Both get the same backbone, photos, epochs, split and seeds, and are asked:

1. known animals, photographed again later;
2. animals that joined after training: enrol 1, 2 or 5 photos, or train the classifier again;
3. animals that nobody knows: is the answer "new individual", and can its probability be believed?
4. with --full: at how many animals, and how many photos of each, does which approach win?
5. all differences, paired over animals, and a conclusion written from them.

    python week3/compare_approaches.py
    python week3/compare_approaches.py --full
    python week3/compare_approaches.py --data_dir path/to/your/animals

With no argument: the embedded turtles, about six minutes on two laptop cores; --full about 25
(the script says how many here before it starts). You should see both approaches far above
frozen features on known animals, and only what searches able to name an animal that joined later
without training again. The notes at the end say which differences can be told from chance.
"""

import argparse
import math

import numpy as np

from common.cli import CLASSES, make_parser, run_script, shared_flags, whole_number
from common.own_files import remove_own

FROZEN_VIEWS = 2  # random views per training photo at most; a head alone needs fewer
SCRATCH_SIDE = 64  # pixels; a network from scratch learns no more from larger photos here
# Part 4: animals, photos of each, and steps of training that even the smallest subset gets.
CROSSOVER = {"animals": [10, 20, 40], "photos": [2, 4, 8], "fewest_steps": 60}
SMOKE_CROSSOVER = {"animals": [4], "photos": [2], "fewest_steps": 2}
NOT_ASKED = "Part 4, fewer animals and fewer photos of each: with --full, if there is a classifier."

CLASSIFIER, AGAIN = "classifier", "classifier, trained again"
FEATURES, FEATURE_MEANS = "classifier's features, searched", "classifier's features, class means"
ARCFACE, ARCFACE_MEANS = "ArcFace embedding", "ArcFace embedding, class means"
TRIPLET = "triplet embedding"
SCRATCH, FROZEN_HEAD, FROZEN = "small CNN from scratch", "frozen, linear head", "frozen, searched"


def count_list(text: str) -> list[int]:
    """Read `--n_enrolled`: rising whole numbers with commas between."""
    counts = [whole_number(1, 1_000)(part) for part in text.split(",")]
    if sorted(set(counts)) != counts:
        raise argparse.ArgumentTypeError(f"found '{text}', expected rising numbers such as 1,2,5")
    return counts


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "image_size", "batch_size",
        "cached_views", "seeds", "device", "mixed_precision", "output_dir", "smoke", epochs=8,
    )  # fmt: skip
    parser.add_argument(
        "--unfreeze", type=whole_number(0, 100), default=4, metavar="N",
        help="last stages of the backbone that train, in both approaches (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--n_enrolled", type=count_list, default=[1, 2, 5], metavar="N,...",
        help="photos of a new animal that are enrolled, exactly, one number after the other "
        "(default: 1,2,5)",
    )  # fmt: skip
    parser.add_argument(
        "--classes", choices=CLASSES,
        help="what one class is in training, in all approaches: an animal, a side of it, or a "
        "side and also its mirror image, which doubles the minutes; auto: mirrored where the "
        "catalogue knows sides (default: side where it does, else identity)",
    )  # fmt: skip
    parser.add_argument(
        "--full", action="store_true",
        help="also train on fewer animals and fewer photos of each (part 4), and train the "
        "classifier again for each number of enrolled photos",
    )  # fmt: skip
    args = parser.parse_args(argv)
    args.crossover = SMOKE_CROSSOVER if args.smoke else CROSSOVER
    if args.smoke:
        args.epochs, args.image_size = 2, 64
        args.seeds = args.seeds[: 1 if args.full else 2]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.study import open_study
    from common.evaluation.questions import questions_of
    from common.runs import start_run

    run = start_run(__file__, args)

    # Photos, split, leak, and which photos ask which question.
    study = open_study(args)
    questions = questions_of(study.catalogue, study.split, n_enrolled=args.n_enrolled)
    print(*questions.reasons, sep="\n")

    # One backbone as it comes and with its last stages free; a small network as the floor.
    bench = set_up(args, study, questions, run.folder)
    print(f"Expected: about {expected_minutes(args, bench):.0f} minutes.")

    # Parts 1 to 3: train every approach with every seed; validation chooses epochs, thresholds
    # and distances; test photos are asked once.
    trials = []
    for seed in args.seeds:
        new_trials, embeddings = run_seed(args, bench, seed)
        trials += new_trials

    # Part 4: both approaches on fewer animals and fewer photos.
    answers = []
    if args.full and len(questions.known):
        answers = [answer for seed in args.seeds for answer in run_crossover(args, bench, seed)]

    # Part 5, tables, figures.
    result = report(run, args, bench, trials, answers, embeddings)
    remove_own(run.folder, "checkpoint_*.pt")  # the run is whole: nothing to resume
    return result


def set_up(args, study, questions, folder):
    """Read the photos, and put each backbone's frozen stages in front of them."""
    from common.data.images import read_photos
    from common.data.training_classes import by_class
    from common.evaluation.bench import Bench
    from common.models.backbones import SCRATCH_CNN, load_backbone
    from common.models.freezing import freeze_stages
    from common.training.boundary import PhotosAtBoundary
    from common.training.loop import TrainingSettings, make_accelerator

    backbones = {
        "frozen": load_backbone(args.model, weights=args.weights, image_size=args.image_size),
        "tuned": load_backbone(args.model, weights=args.weights, image_size=args.image_size),
        "scratch": load_backbone(SCRATCH_CNN, image_size=min(SCRATCH_SIDE, args.image_size)),
    }
    freeze_stages(backbones["frozen"], 0)
    freeze_stages(backbones["tuned"], args.unfreeze)
    pixels = read_photos(study.catalogue.paths(), backbones["frozen"].preprocessing.stored_size)
    classes = args.classes or ("side" if study.catalogue.has_sides else "identity")
    classed = by_class(study.catalogue, pixels, questions.trainable, classes)
    print(classed.description)
    n_views = dict.fromkeys(backbones, args.cached_views)
    n_views["frozen"] = min(FROZEN_VIEWS, args.cached_views)
    photos = {
        name: PhotosAtBoundary(
            backbone, classed.pixels, classed.labels, classed.training_rows,
            flip=not study.catalogue.has_sides, n_views=n_views[name],
            device=make_accelerator(args.device).device,
        )
        for name, backbone in backbones.items()
    }  # fmt: skip
    settings = TrainingSettings(
        epochs=args.epochs, batch_size=args.batch_size, device=args.device,
        mixed_precision=args.mixed_precision,
    )  # fmt: skip
    return Bench(study, questions, classed, photos, settings, folder)


def expected_minutes(args, bench) -> float:
    """Minutes of all trials on this machine, from trials of half a second."""
    questions, photos = bench.questions, bench.photos
    n_seeds, n_train = len(args.seeds), len(bench.training_rows(questions.train))
    n_again = len(bench.training_rows(questions.trainable))
    n_again *= len(args.n_enrolled) if args.full else min(1, len(questions.joined))
    n_epochs, n_validation = n_seeds * args.epochs, len(questions.validation_known)
    trained = n_epochs * (3 * n_train + n_again)
    looked_at = n_epochs * (4 * n_validation + 2 * n_train)  # an embedding looks at its gallery
    looked_at += 5 * n_seeds * bench.study.catalogue.n_images
    if args.full:
        cells = crossover_cells(args, bench, args.seeds[0])
        sizes = [len(bench.training_rows(cell.train)) for cell in cells]
        looked_at += n_seeds * sum(2 * len(cell.test) + len(cell.train) for cell in cells)
        trained += 2 * n_seeds * sum(size * crossover_epochs(args, size) for size in sizes)
    seconds = photos["frozen"].seconds_to_train(0)
    seconds += photos["tuned"].seconds_to_train(trained, looked_at)
    seconds += photos["scratch"].seconds_to_train(n_epochs * n_train, n_epochs * n_validation)
    return seconds / 60 + 0.3


def run_seed(args, bench, seed: int) -> tuple[list, np.ndarray]:
    """Train and ask every approach with one seed; also returns ArcFace's embeddings."""
    from common.models.backbones import restart
    from common.training.recipes import train_classifier, train_embedding

    questions, photos, trials = bench.questions, bench.photos, []
    restart(photos["scratch"].tail, seed)

    # Classifiers: from scratch, a head on frozen features, and fine-tuned.
    for name, title in (("scratch", SCRATCH), ("frozen", FROZEN_HEAD), ("tuned", CLASSIFIER)):
        if len(questions.known) or title == CLASSIFIER:  # its features are searched, anyhow
            trained = bench.train(train_classifier, name, title, seed)
        if len(questions.known):
            trials.append(bench.ask_classifier(name, title, seed, trained))
    if len(questions.joined):
        counts = args.n_enrolled if args.full else args.n_enrolled[-1:]
        trials.append(bench.retrain_classifier("tuned", AGAIN, seed, counts))

    # What searches: frozen features, those of the classifier, and two embeddings.
    trials.append(bench.search(FROZEN, seed, *bench.embed("frozen", photos["frozen"].tail)))
    found = bench.embed("tuned", trained.tail)
    trials.append(bench.search(FEATURES, seed, *found, trained))
    trials.append(bench.search(FEATURE_MEANS, seed, *found, trained, by_means=True))
    if bench.can_form_triplets:
        options = bench.triplets(seed)
        triplet = bench.train(train_embedding, "tuned", TRIPLET, seed, **options)
        found = bench.embed("tuned", triplet.model)
        trials.append(bench.search(TRIPLET, seed, *found, triplet))
    arcface = bench.train(train_embedding, "tuned", ARCFACE, seed)
    found = bench.embed("tuned", arcface.model)
    trials.append(bench.search(ARCFACE_MEANS, seed, *found, arcface, by_means=True))
    trials.append(bench.search(ARCFACE, seed, *found, arcface))
    return trials, found[0]


def crossover_cells(args, bench, seed: int) -> list:
    """Part 4's subsets of the training photos."""
    from common.evaluation.crossover import cells_of

    return cells_of(
        bench.questions.train, bench.questions.known, bench.study.identity,
        n_animals=args.crossover["animals"], n_photos=args.crossover["photos"], seed=seed,
    )  # fmt: skip


def crossover_epochs(args, n_train: int) -> int:
    """As many as everywhere, or more where photos are so few that steps would be."""
    n_batches = math.ceil(n_train / args.batch_size)
    return max(args.epochs, math.ceil(args.crossover["fewest_steps"] / n_batches))


def run_crossover(args, bench, seed: int) -> list:
    """Train both approaches on every cell; no photo chooses anything, the last epoch counts."""
    from common.evaluation.crossover import CellAnswer
    from common.training.recipes import train_classifier, train_embedding

    identity, answers = bench.study.identity, []
    approaches = ((CLASSIFIER, train_classifier, bench.name_by_classifier),
                  (ARCFACE, train_embedding, bench.name_by_search))  # fmt: skip
    for cell in crossover_cells(args, bench, seed):
        truth, n_trained = identity[cell.test], len(np.unique(identity[cell.train]))
        for approach, recipe, name_photos in approaches:
            title = f"{cell.words()}, {approach}"
            trained = bench.train(
                recipe, "tuned", title, seed, rows=cell.train, validate=False,
                epochs=crossover_epochs(args, len(bench.training_rows(cell.train))),
            )  # fmt: skip
            remove_own(bench.folder, bench.checkpoint(title, seed).name)  # nothing to resume
            named = name_photos("tuned", trained, cell.train, cell.test)
            answers.append(CellAnswer(cell, approach, named == truth, truth, n_trained))
    return answers


def pairs_to_compare() -> dict[str, list[tuple]]:
    """Part 5: who is compared with whom, by question; decided before any result was seen."""
    from common.evaluation.question_tables import GEOMETRIC_MEAN
    from common.evaluation.questions import ENERGY, PROBABILITY, SIMILARITY

    by_score = [((ARCFACE, SIMILARITY), (CLASSIFIER, PROBABILITY)),
                ((ARCFACE, SIMILARITY), (CLASSIFIER, ENERGY)),
                ((CLASSIFIER, ENERGY), (CLASSIFIER, PROBABILITY))]  # fmt: skip
    return {
        "known animals": [(ARCFACE, CLASSIFIER), (TRIPLET, CLASSIFIER), (FEATURES, CLASSIFIER),
                          (ARCFACE, ARCFACE_MEANS)],
        "joined later": [(ARCFACE, other) for other in (FEATURES, TRIPLET, FROZEN, AGAIN)],
        GEOMETRIC_MEAN: by_score,
        "AUROC": by_score,
    }  # fmt: skip


def in_short(differences: list[tuple], joining: list[dict]) -> str:
    """The finding in one sentence: the embedding against the classifier, question by question.

    Args:
        differences: what `compare_all` gives.
        joining: rows of part 2's table.
    """
    costs = {row["approach"]: row["adding animals"] for row in joining}
    parts = []
    for question, first, second, gap, _ in differences:
        outcome = "not distinguishable"
        if gap.excludes_zero:
            outcome = "the embedding is better" if gap.estimate > 0 else "the classifier is better"
        if (question, first, second) == ("known animals", ARCFACE, CLASSIFIER):
            parts.append(f"known animals, {outcome}")
        elif (question, first, second) == ("joined later", ARCFACE, AGAIN):
            parts.append(
                f"animals that joined later, {outcome}, at {costs[ARCFACE]} to enrol an animal "
                f"and {costs[AGAIN]} to train again, without which a classifier names none of them"
            )
        elif question.startswith("√") and first.startswith(ARCFACE):
            parts.append(f"unknown animals, by its {second.removeprefix(CLASSIFIER + ', ')}, "
                         f"{outcome}")  # fmt: skip
    return f"In short, {ARCFACE} against {CLASSIFIER}: {'; '.join(parts) or 'not asked'}."


def report(run, args, bench, trials: list, answers: list, embeddings: np.ndarray) -> dict:
    """Tables in the order of the five parts, figures, and what the numbers allow to say."""
    from common.evaluation import question_tables as parts
    from common.evaluation.comparison import summarise, summarise_rankings
    from common.evaluation.crossover import crossover_table, judge_claim
    from common.runs import describe_split

    study, questions, identity = bench.study, bench.questions, bench.study.identity
    trend = parts.joining_trend(trials, questions, identity)
    joining = parts.joining_table(trials, trend)
    differences = parts.compare_all(trials, pairs_to_compare(), questions, identity)
    tables = {
        "Three questions, every approach": summarise(trials, questions, identity),
        "1. Known animals, later days": parts.known_table(trials, questions, identity),
        "2. Animals that joined, by photos enrolled": joining if len(trend) else trend,
        "Animals never trained on, ranked": summarise_rankings(trials, questions, identity),
        "3. Unknown animals: both kinds of error": parts.unknown_table(trials),
        "3. All test photos grouped, number of animals not given": parts.cluster_table(
            trials, identity[questions.test]
        ),
        "4. Who wins at how many animals and photos": crossover_table(answers, ARCFACE, CLASSIFIER),
        "5. Paired differences, over animals": parts.difference_table(differences),
    }
    tables = {title: table for title, table in tables.items() if len(table)}
    conclusion = [
        *(sentence for *_, sentence in differences),
        parts.chance_alone(differences),
        *(judge_claim(answers, ARCFACE, CLASSIFIER) if answers else []),
        in_short(differences, joining.to_dict("records")),
    ]
    return run.finish(
        metrics={
            "approaches": tables["Three questions, every approach"],
            "joined_after": trend,
            "conclusion": conclusion,
            "n_photos": questions.n_photos(),
            "trials": [trial.to_dict() for trial in trials],
        },
        split=describe_split(study.split, study.leak),
        tables=tables,
        figures=draw(run, bench, trials, tables, trend, embeddings),
        notes=[
            f"Means over seeds {', '.join(map(str, args.seeds))}. Intervals: 95 %, over animals.",
            "The triplet loss has batches of several photos of each animal (P x K), which it "
            "needs; everything else is the same for all.",
            bench.classed.description,
            *questions.reasons,
            *(() if answers else (NOT_ASKED,)),
            *conclusion,
        ],
        device=str(bench.photos["tuned"].device),
    )


def draw(run, bench, trials: list, tables: dict, trend, embeddings: np.ndarray) -> dict:
    """A figure for each part, training, and photos of animals that joined with their matches."""
    from common.evaluation.comparison import question_by_question
    from common.evaluation.question_tables import joining_lines, reliability_bins, separation
    from common.visualization.bars import interval_chart
    from common.visualization.curves import training_curves
    from common.visualization.difference_map import difference_map
    from common.visualization.examples import example_matches
    from common.visualization.reliability import reliability_chart
    from common.visualization.trends import trend_chart

    figures = {
        "Right answers, with 95 % intervals over animals": interval_chart(
            question_by_question(tables["Three questions, every approach"]),
            run.figure_path("approaches.png"), value="accuracy", label="approach",
            group="question", value_name="share of photos named right", limits=(0, 1),
        )
    }  # fmt: skip
    if len(trend):
        costs = tables["2. Animals that joined, by photos enrolled"].set_index("approach")
        words = {name: name for name in (ARCFACE, TRIPLET, FEATURES, FROZEN, CLASSIFIER)}
        words[AGAIN] = f"{AGAIN} ({costs.loc[AGAIN, 'adding animals']})"
        figures["Animals that joined: right answers by photos enrolled"] = trend_chart(
            joining_lines(trend, words), run.figure_path("joined.png"), quantity="photos",
            value="accuracy", group="approach", quantity_name="photos enrolled of each animal",
            value_name="share of later photos named right",
        )  # fmt: skip
    if bench.questions.can_reject:
        figures["Unknown animals: told from known ones"] = interval_chart(
            separation(tables["3. Unknown animals: both kinds of error"]),
            run.figure_path("unknown.png"), value="value", label="approach", group="measure",
            value_name="on test photos", limits=(0, 1),
        )  # fmt: skip
        figures["Can the probabilities be believed?"] = reliability_chart(
            reliability_bins(trials, (CLASSIFIER, FEATURES, ARCFACE, TRIPLET)),
            run.figure_path("reliability.png"),
        )  # fmt: skip
    title = "4. Who wins at how many animals and photos"
    if title in tables:
        figures[f"{ARCFACE} minus {CLASSIFIER}, points of accuracy"] = difference_map(
            tables[title], run.figure_path("crossover.png"), x="photos per animal", y="animals",
            names=(ARCFACE, CLASSIFIER), x_name="training photos per animal (mean)",
            y_name="animals in training",
        )  # fmt: skip
    figures["Training the embedding"] = training_curves(
        trials[-1].history, run.figure_path("curves.png"),
        title=f"{trials[-1].approach}, seed {trials[-1].seed}",
    )  # fmt: skip
    if len(bench.questions.joined):
        figures["Animals that joined later: query, and the most alike photos"] = example_matches(
            embeddings, bench.questions.joined, bench.questions.trainable, bench.study,
            run.figure_path("matches.png"), title="Animals that joined after training",
        )  # fmt: skip
    return figures


if __name__ == "__main__":
    run_script(main)
