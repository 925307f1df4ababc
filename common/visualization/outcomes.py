"""What one trained classifier did, in four figures."""

from collections.abc import Sequence
from pathlib import Path

from common.experiments.experiment import Experiment
from common.experiments.trials import Trial
from common.runs import Run
from common.visualization.confusion import confusion_figure, recall_bars
from common.visualization.contact_sheet import contact_sheet
from common.visualization.curves import training_curves

import numpy as np

N_SAMPLES = 6  # of right answers, and of wrong ones


def outcome_figures(
    trial: Trial, experiment: Experiment, run: Run, paths: Sequence[str | Path] | None = None
) -> dict[str, Path]:
    """Draw training, confusion, recall, and some right and wrong answers.

    Args:
        trial: of a classifier that was asked about known photos.
        experiment: that it was part of.
        run: whose folder gets the figures.
        paths: photo files of all images, for the sample answers; None leaves them out.

    Returns:
        Title to figure, as `Run.finish` takes them.
    """
    report, names = trial.answers.report, experiment.class_names
    labels = experiment.classed.labels[experiment.questions.train]
    named = np.unique(labels)  # animals that joined later have no photo
    recalls, counts = (
        np.array([facts[key] for facts in report.per_identity.values()]) for key in ("recall", "n")
    )
    figures = {
        "Training": training_curves(
            trial.history, run.figure_path("curves.png"), chosen_epoch=trial.best_epoch
        ),
        "Who is taken for whom": confusion_figure(
            report.confusion[np.ix_(named, named)],
            [names[label] for label in named],
            run.figure_path("confusion.png"),
        ),
        "Recall of each": recall_bars(
            recalls, counts, list(report.per_identity), run.figure_path("recall.png")
        ),
    }
    if paths is not None:
        asked = [paths[row] for row in experiment.questions.known]
        figures["Sample answers"] = _samples(trial, asked, run.figure_path("samples.png"))
    return figures


def _samples(trial: Trial, asked: Sequence[str | Path], path: Path) -> Path:
    report, shown, rows, captions = trial.answers.report, [], [], []
    for words, is_kind in (("right", report.is_correct), ("wrong", ~report.is_correct)):
        chosen = np.flatnonzero(is_kind)
        n_shown = min(N_SAMPLES, len(chosen))
        for index in chosen[np.linspace(0, len(chosen) - 1, n_shown).astype(int)]:
            truth, said = (
                report.identities[labels[index]]
                for labels in (report.labels, report.predicted_labels)
            )
            shown.append(asked[index])
            rows.append(words)
            captions.append(truth if words == "right" else f"{truth}, taken for {said}")
    return contact_sheet(shown, path, identities=rows, captions=captions)
