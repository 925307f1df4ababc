"""A trained network as one file that runs anywhere, without PyTorch.

Question: does the exported file give what the trained network gave, how fast is it, and what does
it cost to compute with 8-bit integers?

    python week2/export_onnx.py
    python week2/export_onnx.py --trained runs/transfer_learning/model.safetensors
    python week2/export_onnx.py --check path/to/photo.jpg

With no argument: the embedded turtles and efficientnet_lite0 with a head trained as in
transfer_learning.py, then exported; a minute or two on two laptop cores. You should see a file as
large as the network's weights, outputs that differ from PyTorch's in the fifth decimal, and an
8-bit file of less than a third the size. ONNX (Open Neural Network Exchange) also allows the
weights in a second file: a ResNet-50 "of 245 KB" is a file without its 25 million weights. With
--check the file alone names a photo: label map and the steps from photo to input are inside.
"""

import argparse
from pathlib import Path

from common.cli import add_flag, local_path, make_parser, present_file, refuse_beside, shared_flags
from common.data.images import PhotoDataset, evaluation_transform, read_photos
from common.ending import run_script
from common.experiments.experiment import catalogue_experiment
from common.files import MEGABYTE
from common.gallery.gallery import identity_scores
from common.machine.timing import rates_in_turns
from common.measures.intervals import interval_columns
from common.models.backbones import load_backbone
from common.models.heads import Recogniser
from common.models.onnx_export import export_onnx, quantise_onnx, weight_bytes
from common.models.onnx_files import most_likely, open_onnx, read_input
from common.models.storage import load_recogniser
from common.runs import Run, describe_split, start_run
from common.splits.study import Study, open_study
from common.training.optim import Rates
from common.training.strategies import Step
from common.visualization.bars import interval_chart
from engines import Engine, accuracy_and_cost, batch_of, outputs_of, torch_engine

import numpy as np
import pandas as pd
import torch

LEARNING_RATE = 2e-3  # of the head that is trained here
TOLERANCE = 1e-4  # largest difference to PyTorch's outputs that rounding explains
N_CALIBRATION = 64  # training photos that set the ranges of the 8-bit numbers
BATCH_SIZE = 32  # photos, in training and where engines are timed
RAGGED_BATCH = 7  # photos, a batch size that the exporter never saw


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    shared_flags(parser, "data_dir", "model", "weights", "split", "split_column", "image_size")
    shared_flags(parser, "seed", "device", "output_dir", "smoke", epochs=20)
    words = (
        "model.safetensors of a run of this course, exported instead of training; its own "
        "backbone, image size and label map count"
    )
    add_flag(parser, "trained", present_file, "FILE", words)
    add_flag(parser, "check", local_path, "IMAGE", "name this photo with an exported file")
    words = "the file for --check (default: model.onnx of this script's last run)"
    add_flag(parser, "onnx", local_path, "FILE", words)
    args = parser.parse_args(argv)
    refuse_beside(parser, argv, "trained", "model", "weights", "image_size", "epochs")
    if args.onnx and not args.check:
        parser.error(
            "--onnx FILE: found alone, expected --check IMAGE, the photo that it shall name"
        )
    if args.smoke:
        args.epochs, args.image_size = 2, 64
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    if args.check:
        return name_photo(args)
    run, study = start_run(__file__, args), open_study(args)
    train, test = study.split.rows("train"), study.rows_known("test")

    # A model that was trained before, or a backbone with a head that is trained now.
    model, identities = load_recogniser(args.trained) if args.trained else train_now(args, study)
    photos = prepared_photos(model, study)

    # Two files: as trained, and with integers whose ranges come from training photos.
    path, int8_path = run.figure_path("model.onnx"), run.figure_path("model_int8.onnx")
    description = export_onnx(model, path, identities)
    calibration = np.random.default_rng(args.seed).permutation(train)[:N_CALIBRATION]
    weight_bits = quantise_onnx(path, int8_path, batch_of(photos, calibration))

    # The same photos through all three, with the same threads.
    n_threads = torch.get_num_threads()
    engines = {
        "PyTorch": torch_engine(model),
        "ONNX": open_onnx(path, n_threads).run,
        "ONNX int8": open_onnx(int8_path, n_threads).run,
    }
    is_embedding = description.output == "embedding"
    rows = np.concatenate([test, train]) if is_embedding else test  # train: to be searched
    outputs = outputs_of(engines, photos, rows, BATCH_SIZE)
    differences = differences_of(engines, outputs, photos, test)
    if not max(differences.values()) <= TOLERANCE:  # written so that a nan does not pass
        raise RuntimeError(f"{path} is not its network, off by over {TOLERANCE}: {differences}")
    batch = batch_of(photos, np.resize(test, BATCH_SIZE))
    rates = rates_in_turns(engines, batch, n_rounds=1 if args.smoke else 5)

    # Who is named: by the highest score, or by the most alike training photo.
    if is_embedding:
        outputs = {name: scores_of(each, study, train) for name, each in outputs.items()}
    accuracy, cost = {}, {}
    if is_embedding or identities == study.catalogue.identities:
        truth, names = study.labels[test], study.catalogue.identities
        accuracy, cost = accuracy_and_cost(outputs, truth, names, reference="PyTorch")

    # Table, figure, result.
    files = [weight_bytes(model), path.stat().st_size, int8_path.stat().st_size]
    sizes = dict(zip(engines, files, strict=True))
    table = engine_table(outputs, accuracy, rates, sizes)
    facts = {"differences": differences, "bytes": sizes, "photos_per_second": rates}
    facts |= {"batch_size": BATCH_SIZE, "n_threads": n_threads, "weight_bits": weight_bits}
    facts |= {"accuracy": accuracy, "minus_pytorch": cost}
    return run.finish(
        metrics={"description": description, "n_calibration": len(calibration), **facts},
        split=describe_split(study.split, study.leak),
        tables={
            "File against network": file_table(model, path, differences, len(test)),
            "PyTorch, ONNX and int8": table,
        },
        figures=accuracy_chart(run, table) if accuracy else {},
        notes=notes_on(args, facts, len(calibration), cost),
        device="cpu",
    )


def train_now(args: argparse.Namespace, study: Study) -> tuple[Recogniser, list[str]]:
    """A head on a frozen backbone, trained as in transfer_learning.py, and its label map."""
    backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
    experiment = catalogue_experiment(study, args, backbone)
    plan, rates = [Step(0, args.epochs)], Rates(head=LEARNING_RATE)
    frozen = experiment.approach("head alone", backbone, plan, rates=rates)
    trained = experiment.train(frozen, args.seed, title="training the head")
    return frozen.recogniser(trained).cpu(), experiment.class_names


def prepared_photos(model: Recogniser, study: Study) -> PhotoDataset:
    """All photos as the network expects them."""
    preprocessing = model.backbone.preprocessing
    pixels = read_photos(study.catalogue.paths(), preprocessing.stored_size)
    return PhotoDataset(pixels, study.labels, evaluation_transform(preprocessing))


def differences_of(
    engines: dict[str, Engine], outputs: dict, photos: PhotoDataset, test: np.ndarray
) -> dict[str, float]:
    """Largest difference of the ONNX file's outputs to PyTorch's: of all photos, then of few."""
    compared = {"largest difference": outputs}
    for size in (1, RAGGED_BATCH):
        compared[f"batch of {size}"] = outputs_of(engines, photos, test[:RAGGED_BATCH], size)
    return {
        name: float(abs(each["PyTorch"] - each["ONNX"]).max()) for name, each in compared.items()
    }


def scores_of(embeddings: np.ndarray, study: Study, train: np.ndarray) -> np.ndarray:
    """Similarity of each test photo to each animal, from the embeddings of test, then train."""
    query, gallery = embeddings[: -len(train)], embeddings[-len(train) :]
    n_animals, labels = len(study.catalogue.identities), study.labels[train]
    return identity_scores(query, gallery, gallery_labels=labels, n_identities=n_animals)


def engine_table(outputs: dict, accuracy: dict, rates: dict, sizes: dict) -> pd.DataFrame:
    """One row for each engine."""
    named = {name: each.argmax(axis=1) for name, each in outputs.items()}
    return pd.DataFrame(
        {"network": name}
        | (interval_columns("accuracy", accuracy[name]) if accuracy else {})
        | {"same animal as PyTorch": float(np.mean(named[name] == named["PyTorch"]))}
        | {"photos/s": rates[name], "MB": sizes[name] / MEGABYTE}
        for name in outputs
    )


def file_table(model: Recogniser, path: Path, differences: dict, n_photos: int) -> pd.DataFrame:
    """The file beside the network that it holds."""
    n_weights, n_bytes = weight_bytes(model), path.stat().st_size
    row = {"file": path.name, "parameters": sum(each.numel() for each in model.parameters())}
    row |= {"weights MB": n_weights / MEGABYTE, "file MB": n_bytes / MEGABYTE}
    row |= {"file / weights": n_bytes / n_weights, "test photos": n_photos}
    return pd.DataFrame([row | {name: f"{value:.1e}" for name, value in differences.items()}])


def accuracy_chart(run: Run, table: pd.DataFrame) -> dict[str, Path]:
    """How often each engine is right."""
    path, words = (
        run.figure_path("accuracy.png"),
        "share of test photos of known animals named right",
    )
    figure = interval_chart(table, path, value="accuracy", label="network", value_name=words)
    return {"Right answers, with 95 % intervals over animals": figure}


def notes_on(args: argparse.Namespace, facts: dict, n_calibration: int, cost: dict) -> list[str]:
    """What a reader needs to judge the numbers."""
    notes = [
        f"photos/s: batches of {BATCH_SIZE}, the same number of CPU threads "
        f"({facts['n_threads']}), in turns.",
        f"int8: weights of {facts['weight_bits']} bits; ranges from {n_calibration} training "
        "photos.",
    ]
    if not cost:
        return [*notes, f"No accuracy: {args.trained} names other animals than this catalogue has."]
    notes.append(f"Accuracy of int8 minus PyTorch: {cost['ONNX int8'].text()}.")
    if args.trained:
        notes.append(
            "A stored model does not say which photos it was trained on: its accuracy counts only "
            "with the split and seed of its own run."
        )
    return notes


def name_photo(args: argparse.Namespace) -> dict:
    """--check: what an exported file says about one photo, with nothing but that file."""
    folder = args.output_dir or Path("runs", "export_onnx_smoke" if args.smoke else "export_onnx")
    path = args.onnx or folder / "model.onnx"
    network = open_onnx(path)
    description = network.description
    output = network.run(read_input(args.check, description))[0]
    print(f"{args.check}, by {path} ({description.backbone}, {description.image_size} pixels)\n")
    answer = {"photo": str(args.check), "file": str(path), "output": description.output}
    if description.output == "embedding":
        length = float((output**2).sum() ** 0.5)
        print(f"An embedding: {len(output)} numbers, a vector of length {length:.4f}.")
        print("It names nobody by itself: compare it with a gallery of known animals.")
        return answer | {"embedding_dim": len(output), "length": length}
    answers = most_likely(output, description.identities)
    for identity, probability in answers:
        print(f"{probability:6.3f}  {identity}")
    print("\nAn animal that the network never saw gets one of its names too.")
    return answer | {"answers": answers}


if __name__ == "__main__":
    run_script(main)
