"""The course's finding: classification or embedding, for telling animals apart?

Question: given a photo of an animal, which individual is it, and is it one we know at all?
A classifier has one output per animal; an embedding puts photos of one animal close together and
searches. Both get the same backbone, photos, epochs, split and seeds, and three questions:

1. known animals, photographed again later;
2. animals that joined after training: enrol a few photos, or train the classifier again;
3. animals that nobody knows: is the answer "new individual"?

    python week3/compare_approaches.py
    python week3/compare_approaches.py --data_dir path/to/your/animals

With no argument: the embedded turtles, about seven minutes on two laptop cores (the script says
how many here before it starts). You should see both approaches far above frozen features on
known animals, and only what searches able to name an animal that joined later without training
again. The script's own conclusion says which differences can be told from chance.
"""

import shutil
import time

import numpy as np

from common.cli import make_parser, run_script, shared_flags, whole_number

FROZEN_VIEWS = 2  # random views per training photo at most; a head alone needs fewer
WITH_VALIDATION = 1.3  # seconds of an epoch with its validation, over those without
SCRATCH_SIDE = 64  # pixels; a network from scratch learns no more from larger photos here


def parse_args(argv: list[str] | None = None):
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
        "--n_enrolled", type=whole_number(1, 1_000), default=5, metavar="N",
        help="photos of a new animal that are enrolled (default: %(default)s, whole encounters)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs, args.image_size, args.seeds = 2, 64, args.seeds[:2]
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)

    # After the flags are read, so that --help need not wait for torch.
    from common.data.images import read_photos
    from common.data.study import open_study
    from common.evaluation.comparison import summarise, summarise_rankings
    from common.evaluation.questions import questions_of
    from common.models.backbones import SCRATCH_CNN, load_backbone
    from common.models.freezing import freeze_stages
    from common.runs import describe_split, start_run
    from common.training.boundary import PhotosAtBoundary
    from common.training.loop import make_accelerator

    run = start_run(__file__, args)

    # Photos, split, leak, and which photos ask which question.
    study = open_study(args)
    questions = questions_of(study.catalogue, study.split, n_enrolled=args.n_enrolled)
    print(*questions.reasons, sep="\n")

    # One backbone as it comes and with its last stages free; a small network as the floor.
    backbones = {
        "frozen": load_backbone(args.model, weights=args.weights, image_size=args.image_size),
        "tuned": load_backbone(args.model, weights=args.weights, image_size=args.image_size),
        "scratch": load_backbone(SCRATCH_CNN, image_size=min(SCRATCH_SIDE, args.image_size)),
    }
    freeze_stages(backbones["frozen"], 0)
    freeze_stages(backbones["tuned"], args.unfreeze)
    pixels = read_photos(study.catalogue.paths(), backbones["frozen"].preprocessing.stored_size)
    n_views = dict.fromkeys(backbones, args.cached_views)
    n_views["frozen"] = min(FROZEN_VIEWS, args.cached_views)
    photos = {
        name: PhotosAtBoundary(
            backbone, pixels, study.labels, questions.trainable,
            flip=not study.catalogue.has_sides, n_views=n_views[name],
            device=make_accelerator(args.device).device,
        )
        for name, backbone in backbones.items()
    }  # fmt: skip
    print(f"Expected: about {expected_minutes(args, photos, questions):.0f} minutes.")

    # Train every approach with every seed; validation chooses epochs and thresholds; test once.
    trials = []
    for seed in args.seeds:
        new_trials, embeddings = run_seed(
            seed, args, study, questions, backbones, photos, run.folder
        )
        trials += new_trials

    # What came out: one table, one figure, the photos behind the numbers, a conclusion.
    table = summarise(trials, questions, study.identity)
    rankings = summarise_rankings(trials, questions, study.identity)
    conclusion = conclude(trials, questions, study.identity)
    result = run.finish(
        metrics={
            "approaches": table,
            "conclusion": conclusion,
            "n_photos": {
                name: len(rows) for name, rows in vars(questions).items() if name != "reasons"
            },
            "trials": [trial.to_dict() for trial in trials],
        },
        split=describe_split(study.split, study.leak),
        tables={"Three questions, every approach": table}
        | ({"Animals never trained on, ranked": rankings} if len(rankings) else {}),
        device=str(photos["tuned"].device),
        figures=draw(table, trials, study, questions, embeddings, run),
        notes=[
            *conclusion,
            *questions.reasons,
            f"Means over seeds {', '.join(map(str, args.seeds))}; trained again: "
            f"seed {args.seeds[0]} alone. Intervals: 95 %, over animals.",
        ],
    )
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)  # whole: nothing to resume
    return result


def expected_minutes(args, photos, questions) -> float:
    """Minutes of all trials on this machine, from trials of half a second."""
    n_seeds, n_seen = len(args.seeds), args.epochs * len(questions.train)
    seconds = photos["frozen"].seconds_to_train(0)
    seconds += photos["tuned"].seconds_to_train((2 * n_seeds + 1) * n_seen * WITH_VALIDATION)
    seconds += photos["scratch"].seconds_to_train(n_seeds * n_seen * 2)
    return seconds / 60 + 0.3


def run_seed(seed, args, study, questions, backbones, photos, folder) -> tuple:
    """Train and ask every approach with one seed; also returns the embeddings of all photos."""
    import torch

    from common.evaluation.comparison import Trial
    from common.evaluation.questions import ask_classifier, ask_embedding, ask_retrained
    from common.models.backbones import restart
    from common.training.loop import TrainingSettings
    from common.training.recipes import train_classifier, train_embedding

    catalogue = study.catalogue
    restart(photos["scratch"].tail, seed)
    settings = TrainingSettings(
        epochs=args.epochs, batch_size=args.batch_size, seed=seed, device=args.device,
        mixed_precision=args.mixed_precision,
    )  # fmt: skip

    def train(train_one, name, title, train_rows=questions.train):
        return train_one(
            photos[name], backbones[name].n_features,
            train_rows=train_rows, validation_rows=questions.validation_known,
            n_identities=len(catalogue.identities), settings=settings,
            title=f"seed {seed}, {title}", checkpoint=folder / "checkpoints" / f"{title}_{seed}.pt",
        )  # fmt: skip

    def probabilities(name, trained):
        scores = torch.from_numpy(photos[name].outputs(trained.model))
        return scores.softmax(dim=1).numpy()

    def ask_features(name, tail):
        return ask_embedding(unit_length(photos[name].outputs(tail)), questions, catalogue)

    trials = []
    if len(questions.known):  # otherwise no classifier can be asked
        for name, title in (
            ("scratch", "small CNN from scratch"),
            ("frozen", "frozen, linear head"),
        ):
            trained = train(train_classifier, name, title)
            answers = ask_classifier(probabilities(name, trained), questions, catalogue)
            trials.append(Trial(title, seed, answers, trained.fit.seconds))
    trials.append(Trial("frozen, searched", seed, ask_features("frozen", photos["frozen"].tail)))

    classifier = train(train_classifier, "tuned", "classifier")
    if len(questions.known):
        answers = ask_classifier(probabilities("tuned", classifier), questions, catalogue)
        trials.append(
            Trial(
                "classifier", seed, answers, classifier.fit.seconds, history=classifier.fit.history
            )
        )
    if seed == args.seeds[0]:  # what it costs is the point; once is enough
        again = train(train_classifier, "tuned", "classifier, trained again", questions.trainable)
        answers = ask_retrained(probabilities("tuned", again), questions, catalogue)
        cost = again.fit.seconds
        trials.append(Trial("classifier, trained again", seed, answers, cost, cost))
    answers = ask_features("tuned", classifier.tail)
    trials.append(Trial("classifier's features, searched", seed, answers, classifier.fit.seconds))

    embedding = train(train_embedding, "tuned", "ArcFace embedding")
    embeddings = photos["tuned"].outputs(embedding.model)
    answers = ask_embedding(embeddings, questions, catalogue)
    enrolling = seconds_to_enrol(study, questions, photos["tuned"], embedding)
    trials.append(
        Trial("ArcFace embedding", seed, answers, embedding.fit.seconds, enrolling,
              embedding.fit.history)
    )  # fmt: skip
    return trials, embeddings


def seconds_to_enrol(study, questions, photos, embedding) -> float:
    """Seconds from the photo files of one animal that joined to a gallery that knows it."""
    from torch import nn

    from common.data.images import PhotoDataset, evaluation_transform, read_photos
    from common.evaluation.gallery import Gallery
    from common.training.feature_cache import extract

    newcomer = study.identity[questions.enrolled[0]]
    rows = questions.enrolled[study.identity[questions.enrolled] == newcomer]
    paths = [study.catalogue.paths()[row] for row in rows]
    gallery = Gallery(embedding.head.embedding_dim)
    network = nn.Sequential(photos.trunk, embedding.tail, embedding.head)

    start = time.perf_counter()
    pixels = read_photos(paths, photos.preprocessing.stored_size, progress=False)
    dataset = PhotoDataset(pixels, study.labels[rows], evaluation_transform(photos.preprocessing))
    gallery.enrol(extract(network, dataset, device=photos.device, progress=False),
                  study.identity[rows])  # fmt: skip
    return time.perf_counter() - start


def unit_length(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def conclude(trials, questions, identity) -> list[str]:
    """Sentences that the numbers allow, "not distinguishable" among them."""
    from common.evaluation.comparison import compare

    pairs = [
        ("ArcFace embedding", "classifier", "known animals"),
        ("ArcFace embedding", "classifier's features, searched", "joined later"),
        ("ArcFace embedding", "frozen, searched", "joined later"),
        ("ArcFace embedding", "classifier, trained again", "joined later"),
    ]
    verdicts = [compare(trials, *pair, questions, identity) for pair in pairs]
    return [verdict[1] for verdict in verdicts if verdict]


def draw(table, trials, study, questions, embeddings, run) -> dict:
    """Accuracy of every approach with intervals; queries that joined, and what they matched."""
    from common.evaluation.comparison import question_by_question
    from common.visualization.bars import interval_chart
    from common.visualization.curves import training_curves
    from common.visualization.examples import example_matches

    figures = {
        "Right answers, with 95 % intervals over animals": interval_chart(
            question_by_question(table), run.figure_path("approaches.png"), value="accuracy",
            label="approach", group="question", value_name="share of photos named right",
            limits=(0, 1),
        )
    }  # fmt: skip
    last = trials[-1]  # the embedding of the last seed
    figures["Training the embedding"] = training_curves(
        last.history, run.figure_path("curves.png"), title=f"{last.approach}, seed {last.seed}"
    )
    if len(questions.joined):
        figures["Animals that joined later: query, and the most alike photos"] = example_matches(
            embeddings, questions.joined, questions.trainable, study,
            run.figure_path("matches.png"), title="Animals that joined after training",
        )  # fmt: skip
    return figures


if __name__ == "__main__":
    run_script(main)
