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

from pathlib import Path

from common.cli import local_path, make_parser, present_path, run_script, shared_flags
from common.own_files import remove_own

TOLERANCE = 1e-4  # largest difference to PyTorch's outputs that rounding explains
N_CALIBRATION = 64  # training photos that set the ranges of the 8-bit numbers
RAGGED_BATCH = 7  # photos, a batch size that the exporter never saw


def parse_args(argv: list[str] | None = None):
    parser = make_parser(__doc__)
    shared_flags(
        parser,
        "data_dir", "model", "weights", "split", "split_column", "image_size", "batch_size",
        "seed", "device", "mixed_precision", "output_dir", "smoke",
        freeze_backbone=True, epochs=20, learning_rate=2e-3,
    )  # fmt: skip
    parser.add_argument(
        "--trained", type=present_path, metavar="FILE",
        help="model.safetensors of a run of this course, exported instead of training; its own "
        "backbone, image size and label map count",
    )  # fmt: skip
    parser.add_argument(
        "--check", type=local_path, metavar="IMAGE", help="name this photo with an exported file"
    )
    parser.add_argument(
        "--onnx", type=local_path, metavar="FILE",
        help="the file for --check (default: model.onnx of this script's last run)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.onnx and not args.check:
        parser.error("--onnx FILE: goes with --check IMAGE, the photo that it shall name")
    return args


def main(argv: list[str] | None = None) -> dict:
    args = parse_args(argv)
    if args.check:
        return name_photo(args)

    # After the flags are read, so that --help need not wait for torch.
    import numpy as np
    import pandas as pd
    import torch

    from common.data.images import PhotoDataset, evaluation_transform, read_photos
    from common.data.study import open_study
    from common.evaluation.engines import accuracy_and_cost, batch_of, outputs_of, torch_engine
    from common.evaluation.gallery import identity_scores
    from common.models.backbones import load_backbone
    from common.models.onnx_export import export_onnx, quantise_onnx, weight_bytes
    from common.models.onnx_files import MEGABYTE, open_onnx
    from common.models.storage import load_recogniser
    from common.runs import describe_split, start_run
    from common.tables import interval_columns
    from common.training.timing import rates_in_turns
    from common.visualization.bars import interval_chart

    run = start_run(__file__, args)
    if args.smoke:
        args.epochs, args.image_size = 2, 64

    # Data and split.
    study = open_study(args)
    labels, known = study.labels, study.catalogue.identities
    train, test = study.split.rows("train"), study.rows_known("test")

    # A model that was trained before, or a backbone with a head that is trained now.
    if args.trained:
        model, identities = load_recogniser(args.trained)
        backbone = model.backbone
    else:
        backbone = load_backbone(args.model, weights=args.weights, image_size=args.image_size)
        model, identities = train_model(args, study, backbone, run.folder), known
    pixels = read_photos(study.catalogue.paths(), backbone.preprocessing.stored_size)
    photos = PhotoDataset(pixels, labels, evaluation_transform(backbone.preprocessing))

    # Two files: as trained, and with integers whose ranges come from training photos.
    path, int8_path = run.folder / "model.onnx", run.folder / "model_int8.onnx"
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
    outputs = outputs_of(engines, photos, rows, args.batch_size)
    differences = {"largest difference": largest_difference(outputs)}
    for size in (1, RAGGED_BATCH):
        few = outputs_of(engines, photos, test[:RAGGED_BATCH], size)
        differences[f"batch of {size}"] = largest_difference(few)
    if not max(differences.values()) <= TOLERANCE:  # written so that a nan does not pass
        raise RuntimeError(
            f"{path} differs from its network by more than {TOLERANCE}: {differences}"
        )
    rates = rates_in_turns(
        engines, batch_of(photos, np.resize(test, args.batch_size)),
        n_rounds=1 if args.smoke else 5,
    )  # fmt: skip

    # Who is named: by the highest score, or by the most alike training photo.
    if is_embedding:
        outputs = {
            name: identity_scores(
                each[: len(test)], each[len(test) :],
                gallery_labels=labels[train], n_identities=len(known),
            )
            for name, each in outputs.items()
        }  # fmt: skip
    named = {name: each.argmax(axis=1) for name, each in outputs.items()}
    accuracy, cost = {}, {}
    notes = [
        f"photos/s: batches of {args.batch_size}, the same number of CPU threads ({n_threads}), "
        "in turns.",
        f"int8: weights of {weight_bits} bits; ranges from {len(calibration)} training photos.",
    ]
    if is_embedding or identities == known:
        accuracy, cost = accuracy_and_cost(outputs, labels[test], known, reference="PyTorch")
        notes.append(f"Accuracy of int8 minus PyTorch: {cost['ONNX int8'].text()}.")
    else:
        notes.append(f"No accuracy: {args.trained} names other animals than this catalogue has.")
    if args.trained and accuracy:
        notes.append("A stored model does not say which photos it was trained on: its accuracy "
                     "counts only with the split and seed of its own run.")  # fmt: skip

    # Tables, figure, result.
    sizes = [weight_bytes(model), path.stat().st_size, int8_path.stat().st_size]
    file_table = pd.DataFrame(
        [{"file": path.name, "parameters": sum(each.numel() for each in model.parameters()),
          "weights MB": sizes[0] / MEGABYTE, "file MB": sizes[1] / MEGABYTE,
          "file / weights": sizes[1] / sizes[0], "test photos": len(test),
          **{name: f"{value:.1e}" for name, value in differences.items()}}]
    )  # fmt: skip
    table = pd.DataFrame(
        {"network": name,
         **(interval_columns("accuracy", accuracy[name]) if accuracy else {}),
         "same animal as PyTorch": float(np.mean(named[name] == named["PyTorch"])),
         "photos/s": rates[name], "MB": size / MEGABYTE}
        for name, size in zip(engines, sizes, strict=True)
    )  # fmt: skip
    figures = {}
    if accuracy:
        figures["Right answers, with 95 % intervals over animals"] = interval_chart(
            table, run.figure_path("accuracy.png"), value="accuracy", label="network",
            value_name="share of test photos of known animals named right",
        )  # fmt: skip
    return run.finish(
        metrics={"description": description, "differences": differences,
                 "bytes": dict(zip(engines, sizes, strict=True)), "photos_per_second": rates,
                 "batch_size": args.batch_size, "n_threads": n_threads,
                 "weight_bits": weight_bits, "n_calibration": len(calibration),
                 "accuracy": {name: each.to_dict() for name, each in accuracy.items()},
                 "minus_pytorch": {name: each.to_dict() for name, each in cost.items()}},
        split=describe_split(study.split, study.leak),
        tables={"File against network": file_table, "PyTorch, ONNX and int8": table},
        figures=figures, notes=notes, device="cpu",
    )  # fmt: skip


def train_model(args, study, backbone, folder):
    """A head, or with --no_freeze_backbone all of it, trained as in transfer_learning.py."""
    from common.evaluation.closed_set import task_of
    from common.evaluation.ways import Way
    from common.models.heads import Recogniser
    from common.training.loop import TrainingSettings
    from common.training.optim import Rates
    from common.training.strategies import Step, install

    task = task_of(study, backbone.preprocessing.stored_size, args.device)
    plan = [Step(0 if args.freeze_backbone else None, args.epochs)]
    _, trained = Way("to be exported", backbone, plan, task).train(
        TrainingSettings(
            epochs=args.epochs, batch_size=args.batch_size, seed=args.seed, device=args.device,
            mixed_precision=args.mixed_precision,
        ),
        rates=Rates(head=args.learning_rate, backbone=args.learning_rate / 10),
        checkpoint=folder / "last.pt",
    )  # fmt: skip
    remove_own(folder, "last*.pt")  # training is whole: nothing to resume
    install(trained.tail, backbone)
    return Recogniser(backbone, trained.head).cpu()


def largest_difference(outputs) -> float:
    """Between what PyTorch gives and what the ONNX file gives, over all photos and outputs."""
    return float(abs(outputs["PyTorch"] - outputs["ONNX"]).max())


def name_photo(args) -> dict:
    """--check: what an exported file says about one photo, with nothing but that file."""
    from common.models.onnx_files import most_likely, open_onnx, read_input

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
