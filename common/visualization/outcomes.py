"""What one trained classifier did: how it trained, whom it confuses, some answers."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.data.sampling import spread
from common.experiments.experiment import Experiment
from common.experiments.trials import JOINED, KNOWN, Trial
from common.measures.classification import ClassificationReport
from common.runs import Run
from common.visualization.bars import interval_chart
from common.visualization.confusion import confusion_figure, recall_bars
from common.visualization.contact_sheet import contact_sheet
from common.visualization.curves import training_curves

import numpy as np
import pandas as pd

N_SAMPLES = 6  # of right answers, and of wrong ones


def classification_figures(
    run: Run,
    report: ClassificationReport,
    history: Sequence[Mapping],
    best_epoch: int,
    trained_labels: np.ndarray,
    paths: Sequence[str | Path] = (),
    *,
    least_loss: float | None = None,
) -> dict[str, Path]:
    """Draw training, confusion, recall, and some right and wrong answers.

    Args:
        trained_labels: of the training photos; animals that joined later are left out.
        paths: files of the test photos, for the sample answers; empty leaves them out.
        least_loss: that smoothed labels allow, where the lesson speaks of it.

    Returns:
        Title to figure, as `Run.finish` takes them.
    """
    named = np.union1d(trained_labels, report.predicted_labels)  # an untrained output may win too
    recalls, counts = (
        np.array([facts[key] for facts in report.per_identity.values()]) for key in ("recall", "n")
    )
    figures = {
        "Training": training_curves(
            history, run.figure_path("curves.png"), chosen_epoch=best_epoch, least_loss=least_loss
        ),
        "Who is taken for whom": confusion_figure(
            report.confusion[np.ix_(named, named)],
            [report.identities[label] for label in named],
            run.figure_path("confusion.png"),
        ),
        "Recall of each": recall_bars(
            recalls, counts, list(report.per_identity), run.figure_path("recall.png")
        ),
    }
    if len(paths):
        figures["Sample answers"] = _samples(report, paths, run.figure_path("samples.png"))
    return figures


def trial_figures(run: Run, trial: Trial, experiment: Experiment) -> dict[str, Path]:
    """The same of a trial on a catalogue's known animals."""
    train, test = experiment.questions.train, experiment.questions.known
    paths, labels = experiment.study.catalogue.paths(), experiment.classed.labels[train]
    asked = [paths[row] for row in test]
    report, history = trial.answers.report, trial.history
    return classification_figures(run, report, history, trial.best_epoch, labels, asked)


def class_figures(
    run: Run, trial: Trial, *, kind: str = "class", name: str = ""
) -> dict[str, Path]:
    """How one model of classes trained, and which class it takes for which; named in titles."""
    ending, stem = (f", {name}", "_" + re.sub(r"[^\w.-]+", "_", name)) if name else ("", "")
    curves, confusion = (run.figure_path(f"{each}{stem}.png") for each in ("curves", "confusion"))
    report = trial.answers.report
    training_curves(trial.history, curves, chosen_epoch=trial.best_epoch)
    confusion_figure(report.confusion, report.identities, confusion, kind=kind)
    return {f"Training{ending}": curves, f"Which {kind} is taken for which{ending}": confusion}


def questions_figure(run: Run, name: str, table: pd.DataFrame) -> dict[str, Path]:
    """Share of photos named right, of a table of `summarise`; no figure where none was asked."""
    rows = []
    for question in (KNOWN, JOINED):
        for row in table.to_dict("records") if question in table else ():
            cells = {f"accuracy{end}": row[f"{question}{end}"] for end in ("", "_low", "_high")}
            rows.append({"approach": row["approach"], "question": question} | cells)
    if not rows:
        return {}
    names = {"value": "accuracy", "label": "approach", "group": "question"}
    names |= {"value_name": "share of photos named right"}
    path = run.figure_path(name)
    chart = interval_chart(pd.DataFrame(rows), path, **names, limits=(0, 1))
    return {"Right answers, with 95 % intervals over animals": chart}


def _samples(report: ClassificationReport, paths: Sequence[str | Path], path: Path) -> Path:
    shown, rows, captions = [], [], []
    for words, is_kind in (("right", report.is_correct), ("wrong", ~report.is_correct)):
        for index in spread(np.flatnonzero(is_kind), N_SAMPLES):
            truth = report.identities[report.labels[index]]
            said = report.identities[report.predicted_labels[index]]
            shown.append(paths[index])
            rows.append(words)
            captions.append(truth if words == "right" else f"{truth}, taken for {said}")
    return contact_sheet(shown, path, identities=rows, captions=captions)
