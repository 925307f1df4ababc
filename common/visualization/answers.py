"""What a person's answers are worth: agreement with the truth by number of answers."""

from common.visualization import style

import pandas as pd
from matplotlib.figure import Figure

MEASURES = {"AMI": "AMI (1: as the animals)", "ARI": "ARI", "groups": "groups"}


def answer_curves(curves: pd.DataFrame) -> Figure:
    """Draw a row of panels for each measure, a column for each person, a line for each strategy.

    Args:
        curves: columns strategy, "person right", answers, AMI, AMI_low and AMI_high (nan: no
            band), ARI, groups, and patterns, which is how many groups there should be.
    """
    persons = list(dict.fromkeys(curves["person right"]))
    figure = style.new_figure(2.8 * len(persons), 7.4)
    panels = figure.subplots(len(MEASURES), len(persons), sharex=True, sharey="row", squeeze=False)
    for (measure, words), line in zip(MEASURES.items(), panels, strict=True):
        for axes, right in zip(line, persons, strict=True):
            title = f"right {right:.1%} of the time".replace(".0%", " %").replace("%", " %")
            style.tidy(axes, title=title.replace("  ", " ") * (measure == "AMI"), grid="y")
            own = curves[curves["person right"] == right]
            for index, (name, rows) in enumerate(own.groupby("strategy", sort=False)):
                look = style.look(index)
                axes.plot(rows["answers"], rows[measure], markersize=4, label=name, **look)
                if measure == "AMI":
                    band = rows["answers"], rows["AMI_low"], rows["AMI_high"]
                    axes.fill_between(*band, color=look["color"], alpha=0.12, linewidth=0)
            if measure == "groups":
                dots = {"color": style.SOFT, "linewidth": 1, "linestyle": ":"}
                axes.axhline(own["patterns"].iloc[0], label="as many as there are", **dots)
                axes.set_xlabel("answers")
        line[0].set_ylabel(words)
    style.legend_outside(panels[-1, 0], 4)
    return figure
