"""What one trained classifier did, in four figures."""

from collections.abc import Sequence
from pathlib import Path

from common.experiments.closed_set import Outcome, Task
from common.runs import Run
from common.visualization.confusion import confusion_figure, recall_bars
from common.visualization.contact_sheet import contact_sheet
from common.visualization.curves import training_curves

import numpy as np

N_SAMPLES = 6  # of right answers, and of wrong ones


def outcome_figures(
    outcome: Outcome, task: Task, run: Run, paths: Sequence[str | Path] | None = None
) -> dict[str, Path]:
    """Draw training, confusion, recall, and some right and wrong answers.

    Args:
        outcome: of one training.
        task: that was learned.
        run: whose folder gets the figures.
        paths: photo files of the whole task, for the sample answers; None leaves them out.

    Returns:
        Title to figure, as `Run.finish` takes them.
    """
    report = outcome.report
    named = np.unique(task.labels[task.train])  # animals that joined later have no photo
    recalls, counts = (
        np.array([facts[key] for facts in report.per_identity.values()]) for key in ("recall", "n")
    )
    figures = {
        "Training": training_curves(
            outcome.history, run.figure_path("curves.png"), chosen_epoch=outcome.best_epoch
        ),
        "Who is taken for whom": confusion_figure(
            report.confusion[np.ix_(named, named)], [task.names[label] for label in named],
            run.figure_path("confusion.png"),
        ),
        "Recall of each": recall_bars(
            recalls, counts, list(report.per_identity), run.figure_path("recall.png")
        ),
    }  # fmt: skip
    if paths is not None:
        figures["Sample answers"] = _samples(report, task, paths, run.figure_path("samples.png"))
    return figures


def _samples(report, task: Task, paths: Sequence[str | Path], path: Path) -> Path:
    shown, rows, captions = [], [], []
    for words, is_kind in (("right", report.is_correct), ("wrong", ~report.is_correct)):
        chosen = np.flatnonzero(is_kind)
        n_shown = min(N_SAMPLES, len(chosen))
        for index in chosen[np.linspace(0, len(chosen) - 1, n_shown).astype(int)]:
            truth, said = (
                task.names[labels[index]] for labels in (report.labels, report.predicted_labels)
            )
            shown.append(paths[task.test[index]])
            rows.append(words)
            captions.append(truth if words == "right" else f"{truth}, taken for {said}")
    return contact_sheet(shown, path, identities=rows, captions=captions)
