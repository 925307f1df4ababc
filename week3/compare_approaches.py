"""The course's finding: classification or embedding, for telling animals apart?

Question: given a photo of an animal, which individual is it, and is it one we know at all?
A classifier has one output per animal; an embedding puts photos of one animal close together and
searches. Both get the same backbone, photos, epochs, split and seeds, and validation chooses for
each, from the same few, its learning rate and what a class is. They are asked:

1. known animals, photographed again later;
2. animals that joined after training: enrol 1, 2 or 5 photos, or train the classifier again;
3. animals that nobody knows: is the answer "new individual", and can its probability be believed?
4. with --full: at how many animals, and how many photos of each, does which approach win?
5. all differences, paired over animals, and a conclusion written from them.

    python week3/compare_approaches.py
    python week3/compare_approaches.py --full
    python week3/compare_approaches.py --data_dir path/to/your/animals

With no argument: the embedded turtles, about 23 minutes on two laptop cores; --full longer
(the script says how many here before it starts). You should see both approaches far above
frozen features on known animals, and only what searches able to name an animal that joined later
without training again. The notes at the end say which differences can be told from chance.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import question_tables as parts
from approaches import (
    AGAIN,
    ARCFACE,
    CLASSIFIER,
    FROZEN_HEAD,
    RATES,
    SCRATCH,
    TRIPLET,
    Terms,
    choose_terms,
)
from common.cli import add_flag, list_of, make_parser, shared_flags, whole_number
from common.ending import run_script
from common.experiments import three_questions
from common.experiments.answers import ENERGY, PROBABILITY, SIMILARITY
from common.experiments.class_choice import kinds_to_try, trial_epochs
from common.experiments.experiment import Experiment, Planned, catalogue_experiment
from common.experiments.matched_search import Details, try_matched
from common.experiments.trials import (
    JOINED,
    KNOWN,
    Difference,
    Trial,
    chance_alone,
    difference_table,
    summarise,
    summarise_rankings,
)
from common.measures.intervals import NOT_DISTINGUISHABLE
from common.models.backbones import load_backbone
from common.runs import Run, describe_split, start_run
from common.splits.questions import Questions, questions_of
from common.splits.study import open_study
from common.training.losses import triplet
from common.visualization.bars import interval_chart
from common.visualization.charts import difference_map, reliability_chart, trend_chart
from common.visualization.curves import training_curves
from common.visualization.matches import example_matches
from common.visualization.outcomes import questions_figure
from common.words import expected_time
from crossover import (
    CellAnswer,
    crossover_cells,
    crossover_epochs,
    crossover_table,
    judge_claim,
    run_crossover,
)

import numpy as np
import pandas as pd

# Part 4: animals, photos of each, and steps of training that even the smallest subset gets.
CROSSOVER = {"animals": [15], "photos": [2, 5], "fewest_steps": 60}
SMOKE_CROSSOVER = {"animals": [4], "photos": [2], "fewest_steps": 2}
CROSSOVER_SEEDS = 2  # the first of all; part 4 has many trainings
SEARCHED = (
    "What searches has validation photos of known animals in its gallery when test photos are "
    "asked; a classifier has them only when it is trained again, with them and with the enrolled "
    "photos, to the last epoch. With fewer enrolled photos than the most, the first seed alone is."
)
NOT_ASKED = (
    "Part 4, fewer animals and fewer photos of each, if there is a classifier, and local matching "
    "behind the embedding: with --full."
)

FEATURES, FEATURE_MEANS = "classifier's features, searched", "classifier's features, class means"
ARCFACE_MEANS, MATCHED = f"{ARCFACE}, class means", f"{ARCFACE} + local matching"
FROZEN = "frozen, searched"

# Tables that are drawn, too.
SUMMARY, JOINING = "Three questions, every approach", "2. Animals that joined, by photos enrolled"
UNKNOWN = "3. Unknown animals: both kinds of error"
CHOSEN = "Chosen on validation, by a short training of each"
WINNERS = "4. Who wins at how many animals and photos"

# Part 5: who is compared with whom, by question; decided before any result was seen.
BY_SCORE = [
    ((MATCHED, PROBABILITY), (ARCFACE, SIMILARITY)),
    ((ARCFACE, SIMILARITY), (CLASSIFIER, PROBABILITY)),
    ((ARCFACE, SIMILARITY), (CLASSIFIER, ENERGY)),
    ((CLASSIFIER, ENERGY), (CLASSIFIER, PROBABILITY)),
]
PAIRS = {
    KNOWN: [
        *((own, CLASSIFIER) for own in (ARCFACE, TRIPLET, FEATURES)),
        *((ARCFACE, other) for other in (AGAIN, ARCFACE_MEANS)),
        (MATCHED, ARCFACE),
    ],
    JOINED: [
        *((ARCFACE, other) for other in (FEATURES, TRIPLET, FROZEN, AGAIN)),
        (MATCHED, ARCFACE),
    ],
    parts.GEOMETRIC_MEAN: BY_SCORE,
    "AUROC": BY_SCORE,
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(parser, "data_dir", "model", "weights", "split", "split_column", "image_size")
    shared_flags(parser, "batch_size", "cached_views", "classes", "seeds", "device")
    shared_flags(parser, "mixed_precision", "output_dir", "smoke", epochs=8, unfreeze=4)
    counts = list_of(whole_number(1, 1_000), is_rising=True)
    words = "photos of a new animal that are enrolled, exactly, one number after the other"
    add_flag(parser, "n_enrolled", counts, "N,...", words, "1,2,5")
    parser.add_argument(
        "--full",
        action="store_true",
        help="also train on fewer animals and fewer photos of each (part 4), train the classifier "
        "again for each number of enrolled photos, and compare details of what the embedding finds",
    )
    args = parser.parse_args(argv)
    args.crossover = SMOKE_CROSSOVER if args.smoke else CROSSOVER
    if args.smoke:
        args.epochs, args.image_size = 2, 64
        args.seeds = args.seeds[: 1 if args.full else 2]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    run = start_run(__file__, args)

    # Photos, split, leak, and which photos ask which question.
    study = open_study(args)
    questions = questions_of(study.catalogue, study.split, n_enrolled=args.n_enrolled)
    print(*questions.reasons, sep="\n")

    # One backbone as it comes and with its last stages free; a small network as the floor.
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    options = {"questions": questions, "trained_rows": questions.with_enrolled, "run": run}
    experiment = catalogue_experiment(study, args, backbone, **options)
    most = kinds_to_try(args.classes, study.catalogue)[-1]
    terms = Terms.of(args, experiment.with_classes(most), backbone, RATES[0])
    details, why = Details.of(experiment) if args.full else (None, "")
    minutes = experiment.expected_minutes(planned(args, terms))
    if details:
        minutes += details.minutes(len(args.seeds) * n_searches(args, questions))
    print(f"Expected: at most {expected_time(minutes)}.")

    # Validation chooses learning rate and classes, for either approach from the same few.
    chosen, tried = {}, []
    for name in (CLASSIFIER, ARCFACE):
        chosen[name], rows = choose_terms(args, experiment, backbone, name)
        tried += rows

    # Parts 1 to 3: train every approach with every seed; validation chooses epochs, thresholds
    # and distances; test photos are asked once.
    trials = []
    if details:
        details = details.described()
    for seed in args.seeds:
        trials += try_classifiers(args, chosen[CLASSIFIER], seed)
        searched, embeddings = try_embeddings(chosen[ARCFACE], details, seed)
        trials += searched

    # Part 4: both approaches on fewer animals and fewer photos.
    answers = []
    if args.full and len(questions.known):
        for seed in args.seeds[:CROSSOVER_SEEDS]:
            answers += run_crossover(args, chosen, seed)

    # Part 5, tables, figures.
    return report(run, args, chosen, tried, trials, answers, embeddings, why)


def planned(args: argparse.Namespace, terms: Terms) -> list[Planned]:
    """All trainings that are to come, if validation chooses the classes that learn from most."""
    experiment, approaches = terms.experiment, terms.approaches
    questions, n_seeds = experiment.questions, len(args.seeds)
    trainings = [
        Planned(approach, n_seeds) for name, approach in approaches.items() if name != AGAIN
    ]
    n_trials = len(RATES) + len(kinds_to_try(args.classes, experiment.study.catalogue)) - 1
    for name in (CLASSIFIER, ARCFACE):
        trainings.append(Planned(approaches[name], n_trials, epochs=trial_epochs(args.epochs)))
    n_again = n_seeds + (len(args.n_enrolled) - 1 if args.full else 0)
    n_photos = len(experiment.training_rows(questions.with_enrolled))
    trainings.append(Planned(approaches[AGAIN], n_again, n_photos, validate=False))
    n_seeds = min(n_seeds, CROSSOVER_SEEDS)
    for cell in crossover_cells(args, experiment, args.seeds[0]) if args.full else ():
        n_photos = len(experiment.training_rows(cell.train))
        epochs = crossover_epochs(args, n_photos)
        trainings += [
            Planned(approaches[name], n_seeds, n_photos, epochs, validate=False)
            for name in (CLASSIFIER, ARCFACE)
        ]
    return trainings


def n_searches(args: argparse.Namespace, questions: Questions) -> int:
    """Photos whose candidates' details are compared, with one seed."""
    n_validation = len(questions.validation_known) + len(questions.validation)
    return n_validation + len(questions.test) + len(args.n_enrolled) * len(questions.joined)


def try_classifiers(args: argparse.Namespace, terms: Terms, seed: int) -> list[Trial]:
    """Classifiers; and what searches frozen features, and theirs."""
    experiment, approaches, trials = terms.experiment, terms.approaches, []
    questions = experiment.questions
    for name in (SCRATCH, FROZEN_HEAD, CLASSIFIER):
        if len(questions.known) or name == CLASSIFIER:  # its features are searched, anyhow
            classifier = experiment.train(approaches[name], seed)
        if len(questions.known):
            named = three_questions.try_classifier(experiment, approaches[name], seed, classifier)
            trials.append(named)
    is_first = args.full and len(questions.joined) and seed == args.seeds[0]
    counts = args.n_enrolled if is_first else args.n_enrolled[-1:]
    trials.append(three_questions.try_retrained(experiment, approaches[AGAIN], seed, counts))
    frozen, tuned = approaches[FROZEN_HEAD], approaches[CLASSIFIER]
    found = three_questions.embed(experiment, frozen, frozen.behind.tail)
    trials.append(three_questions.try_search(experiment, FROZEN, seed, found))
    found = three_questions.embed(experiment, tuned, classifier.tail)
    for name in (FEATURES, FEATURE_MEANS):
        named = (experiment, name, seed, found, classifier)
        trials.append(three_questions.try_search(*named, by_means=name == FEATURE_MEANS))
    return trials


def try_embeddings(
    terms: Terms, details: Details | None, seed: int
) -> tuple[list[Trial], np.ndarray]:
    """Two embeddings, and one with local matching behind it; also returns ArcFace's."""
    experiment, approaches, trials = terms.experiment, terms.approaches, []
    if experiment.n_with_pairs() > 1:  # a triplet needs two animals
        batches = experiment.batches_of_several(seed)  # without which its loss is blind
        options = {"criterion": triplet(), "batch_sampler": batches}
        trained = experiment.train(approaches[TRIPLET], seed, **options)
        found = three_questions.embed(experiment, approaches[TRIPLET], trained.model)
        trials.append(three_questions.try_search(experiment, TRIPLET, seed, found, trained))
    arcface = experiment.train(approaches[ARCFACE], seed)
    found = three_questions.embed(experiment, approaches[ARCFACE], arcface.model)
    for name in (ARCFACE_MEANS, ARCFACE):
        named = (experiment, name, seed, found, arcface)
        trials.append(three_questions.try_search(*named, by_means=name == ARCFACE_MEANS))
    if details:
        trials.append(try_matched(experiment, MATCHED, seed, found, arcface, details))
    return trials, found[0]


def in_short(differences: Sequence[Difference], joining: pd.DataFrame) -> str:
    """The finding in one sentence: the embedding against the classifier, question by question."""
    costs = joining.set_index("approach")["adding animals"]
    found = []
    for question, first, second, gap in differences:
        outcome = gap.better_of("the embedding", "the classifier")
        if outcome != NOT_DISTINGUISHABLE:
            outcome += " is better"
        if (question, first, second) == (KNOWN, ARCFACE, AGAIN):
            found.append(f"{KNOWN}, both with the same photos, {outcome}")
        elif (question, first, second) == (JOINED, ARCFACE, AGAIN):
            found.append(
                f"animals that joined later, {outcome}, at {costs[ARCFACE]} to enrol an animal "
                f"and {costs[AGAIN]} to train again, without which a classifier names none of them"
            )
        elif question == parts.GEOMETRIC_MEAN and first == f"{ARCFACE}, {SIMILARITY}":
            score = second.removeprefix(f"{CLASSIFIER}, ")
            found.append(f"unknown animals, by its {score}, {outcome}")
    return f"In short, {ARCFACE} against {CLASSIFIER}: {'; '.join(found) or 'not asked'}."


def report(
    run: Run,
    args: argparse.Namespace,
    chosen: Mapping[str, Terms],
    tried: list[dict],
    trials: list[Trial],
    answers: list[CellAnswer],
    embeddings: np.ndarray,
    why: str,
) -> dict:
    """Tables in the order of the five parts, figures, and what the numbers allow to say."""
    experiment, trend = chosen[ARCFACE].experiment, parts.joining_trend(trials)
    study, questions = experiment.study, experiment.questions
    differences, summary = parts.compare_all(trials, PAIRS), summarise(trials)
    if why:
        skipped = pd.DataFrame([{"approach": f"{MATCHED}, skipped: {why}"}])
        summary = pd.concat([summary, skipped], ignore_index=True)
    tables = {
        SUMMARY: summary,
        "1. Known animals, later days": parts.known_table(trials),
        JOINING: parts.joining_table(trials, trend),
        "Animals never trained on, ranked": summarise_rankings(trials),
        UNKNOWN: parts.unknown_table(trials),
        "3. All test photos grouped, number of animals not given": parts.cluster_table(trials),
        WINNERS: crossover_table(answers, ARCFACE, CLASSIFIER),
        "5. Paired differences, over animals": difference_table(differences),
        CHOSEN: pd.DataFrame(tried),
    }
    conclusion = [
        *(difference.sentence() for difference in differences),
        chance_alone(differences),
        *(judge_claim(answers, ARCFACE, CLASSIFIER) if answers else []),
        in_short(differences, tables[JOINING]),
    ]
    return run.finish(
        metrics={
            "approaches": tables[SUMMARY],
            "joined_after": trend,
            "conclusion": conclusion,
            "n_photos": questions.n_photos(),
            "trials": trials,
        },
        split=describe_split(study.split, study.leak),
        tables=tables,
        figures=draw(run, experiment, trials, tables, trend, embeddings),
        notes=[
            f"Means over seeds {', '.join(map(str, args.seeds))}. Intervals: 95 %, over animals.",
            "The triplet loss has batches of several photos of each animal (P x K), which it "
            "needs, and ArcFace's classes and learning rate.",
            SEARCHED,
            *(f"{name}: {own.experiment.classed.description}" for name, own in chosen.items()),
            *questions.reasons,
            *(() if answers else (NOT_ASKED,)),
            *conclusion,
        ],
        device=str(experiment.device),
    )


def draw(
    run: Run,
    experiment: Experiment,
    trials: list[Trial],
    tables: Mapping[str, pd.DataFrame],
    trend: pd.DataFrame,
    embeddings: np.ndarray,
) -> dict[str, Path]:
    """A figure for each part, training, and photos of animals that joined with their matches."""
    questions = experiment.questions
    last = [trial for trial in trials if trial.approach == ARCFACE][-1]
    figures = {
        **questions_figure(run, "approaches.png", tables[SUMMARY].dropna(subset="training, s")),
        **(draw_joined(run, tables[JOINING], trend) if len(trend) else {}),
        **(draw_unknown(run, tables[UNKNOWN], trials) if questions.can_reject else {}),
    }
    if len(tables[WINNERS]):
        columns = {"x": "photos per animal", "y": "animals", "names": (ARCFACE, CLASSIFIER)}
        figures[f"{ARCFACE} minus {CLASSIFIER}, points of accuracy"] = difference_map(
            tables[WINNERS],
            run.figure_path("crossover.png"),
            **columns,
            x_name="training photos per animal (mean)",
            y_name="animals in training",
        )
    title = f"{last.approach}, seed {last.seed}"
    curves = training_curves(last.history, run.figure_path("curves.png"), title=title)
    figures["Training the embedding"] = curves
    if len(questions.joined):
        figures["Animals that joined later: query, and the most alike photos"] = example_matches(
            embeddings,
            questions.joined,
            questions.with_enrolled,
            experiment.study,
            run.figure_path("matches.png"),
            title="Animals that joined after training",
        )
    return figures


def draw_joined(run: Run, table: pd.DataFrame, trend: pd.DataFrame) -> dict[str, Path]:
    """Part 2: right answers by the photos that are enrolled."""
    cost = table.set_index("approach")["adding animals"][AGAIN]
    words = {name: name for name in (ARCFACE, TRIPLET, FEATURES, FROZEN, CLASSIFIER)}
    chart = trend_chart(
        parts.joining_lines(trend, words | {AGAIN: f"{AGAIN} ({cost})"}),
        run.figure_path("joined.png"),
        quantity="photos",
        quantity_name="photos enrolled of each animal",
        value_name="share of later photos named right",
    )
    return {"Animals that joined: right answers by photos enrolled": chart}


def draw_unknown(run: Run, table: pd.DataFrame, trials: list[Trial]) -> dict[str, Path]:
    """Part 3: unknown animals told from known ones, and what probabilities are worth."""
    bins = parts.reliability_bins(trials, (CLASSIFIER, FEATURES, ARCFACE, TRIPLET))
    return {
        "Unknown animals: told from known ones": interval_chart(
            parts.separation(table),
            run.figure_path("unknown.png"),
            value="value",
            label="approach",
            group="measure",
            value_name="on test photos",
            limits=(0, 1),
        ),
        "Can the probabilities be believed?": reliability_chart(
            bins, run.figure_path("reliability.png")
        ),
    }


if __name__ == "__main__":
    run_script(main)
