"""What does a second of matching buy, in a small gallery and in a large one?

Generated turtles, photographed once more after all photos of the gallery: 500 photos of some
thirty, and the same among 5,000. The same queries are ranked by cosine, by XFeat, by LightGlue on
the 50 photos that the cosine proposes, and by the cascade: XFeat on the 1,000 photos that the
cosine proposes, then LightGlue on some of 50, until nothing can change.
Other turtles' photos teach what a score means. Accuracy is asked on any device, seconds on the CPU.

    python tests/benchmarks/cascade.py --trained runs/metric_learning/model.safetensors
    python tests/benchmarks/cascade.py --device cuda
    python tests/benchmarks/cascade.py --sizes 500

With a GPU about 4 minutes, most of them to draw and to describe the turtles. Without one the small
gallery alone takes about 40 minutes of one core, and both some hours.
The weights have to be installed (requirements-matching.txt).
"""

from dataclasses import replace
from functools import partial

from common.cli import device_name, list_of, present_path, whole_number
from common.ending import run_script

from side_by_side import read_flags, store

SIZES, N_TURTLES = [500, 5_000], 400  # photos of a gallery; animals, drawn for the larger one
N_CANDIDATES, STEP = 50, 4  # of LightGlue
N_CHEAP = 1_000  # of XFeat in the cascade: what one or two pairs of LightGlue cost
N_ASKED = 40  # queries, and as many that teach
N_TIMED = 12  # queries that are answered with a watch
COSINE, XFEAT = "embedding alone", "embedding + XFeat"
FULL, BOTH, CASCADE = "LightGlue on 50", "XFeat, then LightGlue on 50", "cascade"
TITLE = "Rank-1 over seconds a query"


def main(argv=None):
    args = read_flags(
        __doc__, argv,
        trained={"type": present_path, "metavar": "FILE", "help": "of metric_learning.py"},
        device={"type": device_name, "default": "auto", "help": "of accuracy; seconds: the CPU"},
        sizes={
            "type": list_of(whole_number(10, SIZES[-1]), is_rising=True), "default": SIZES,
            "metavar": "N,N,...", "help": "photos of the galleries",
        },
    )  # fmt: skip
    from common.machine.device import pick_device
    from common.runs import start_run
    from common.visualization.charts import cost_scatter

    import pandas as pd

    run, device = start_run(__file__, args), pick_device(args.device)
    case = Case(args, device)
    rows = [row for size in case.sizes for row in case.ask(size)]
    table = pd.DataFrame(rows)
    figure = cost_scatter(
        table.assign(seconds=table["s per query"].clip(lower=1e-3)),
        run.figure_path("cascade.png"), cost="seconds", value="rank-1", label="way",
        group="gallery", cost_name="seconds a query", value_name="rank-1",
    )  # fmt: skip
    return store(
        run,
        metrics={"ways": table},
        tables={TITLE: table},
        figures={TITLE: figure},
        notes=[
            f"{case.n_asked} photos of {case.n_animals} animals ask; intervals over animals, "
            "differences paired. Seconds: mean of some queries on the CPU, describing the query "
            f"included, the network's own time left out. Accuracy: {device}."
        ],
    )


class Case:
    """Turtles, the galleries, who asks, and what matchers say."""

    def __init__(self, args, device):
        from common.data.catalogue import load_catalogue
        from common.matching.matchers import load_matcher
        from common.matching.pair_scores import PairScores

        import numpy as np

        self.args, self.device = args, device
        catalogue = load_catalogue(drawn(args))
        self.paths = catalogue.paths()
        table = catalogue.table
        self.identity = table["identity"].to_numpy(dtype=str)
        self.encounter = table["encounter"].to_numpy(dtype=str)
        self.labels = np.unique(self.identity, return_inverse=True)[1]
        # The last day of each animal asks; all earlier ones are the gallery.
        last = table.groupby("identity")["date"].transform("max") == table["date"]
        is_seen_again = table.groupby("identity")["date"].transform("nunique") > 1
        self.is_query = (last & is_seen_again).to_numpy()
        self.sizes, self.most_asked, self.n_candidates = args.sizes, N_ASKED, N_CANDIDATES
        if args.smoke:
            self.sizes, self.most_asked, self.n_candidates = (20, 50), 3, 4
        self.embeddings = embedded(args, catalogue, device)
        self.everybody = np.flatnonzero(~self.is_query)[: self.sizes[-1]]
        self.asked, self.taught = self.sides(self.sizes[0])
        rows = np.unique([*self.everybody, *np.concatenate([*self.asked, *self.taught])])
        self.scores = {
            name: PairScores(load_matcher(name, device), self.paths, rows)
            for name in ("xfeat", "aliked")
        }
        self.on_cpu = {name: load_matcher(name) for name in self.scores}
        self.n_asked = len(self.asked[0])
        self.n_animals = len(set(self.identity[self.asked[0]]))

    def sides(self, size):
        """Queries and gallery of the first animals with so many photos, and of the next ones."""
        import numpy as np

        gallery = np.flatnonzero(~self.is_query)
        parts, query = [], np.flatnonzero(self.is_query)
        for start in (0, size):
            own = gallery[start : start + size]
            names = np.unique(self.identity[own])
            mine = query[np.isin(self.identity[query], names)]
            parts.append((mine[:: max(1, len(mine) // self.most_asked)][: self.most_asked], own))
        return parts

    def ask(self, size):
        """One row for each way, in a gallery of so many photos."""
        from common.matching.cascade import Stage
        from common.matching.reordering import ALL, NEVER, Route, follow, learned
        from common.matching.shortlists import Asked

        here, there = (
            Asked(
                query, own if size == self.sizes[0] else self.everybody, self.embeddings,
                self.identity, self.encounter, self.n_candidates,
            )
            for query, own in (self.asked, self.taught)
        )  # fmt: skip
        first = Stage("xfeat", ALL, ALL)
        dear = Stage("aliked", self.n_candidates, self.n_candidates)
        pairs = [(there, i) for i in range(len(there.query))]
        meant = {
            way: learned(pairs, self.labels, self.scores, stages)
            for way, stages in {XFEAT: [first], FULL: [dear], BOTH: [first, dear]}.items()
        }
        stages = {XFEAT: [first], FULL: [dear], BOTH: [first, dear]}
        stages[CASCADE] = [Stage("xfeat", N_CHEAP, N_CHEAP), replace(dear, step=STEP)]
        cascades = {way: replace(each, clear=NEVER) for way, each in meant.items()}
        cascades[CASCADE] = meant[BOTH]
        found, n_pairs, seconds = {COSINE: here.evaluate(here.cosines)}, {COSINE: 0}, {COSINE: 0.0}
        for way, cascade in cascades.items():
            route = Route(stages[way], cascade)
            block, n_pairs[way] = follow(
                route, here, self.labels, self.scores, f"{size} photos, {way}"
            )
            found[way] = here.evaluate(block)
            seconds[way] = self.seconds(here, cascade, stages[way])
        return rows_of(size, found, n_pairs, seconds, self.identity[here.query])

    def seconds(self, here, cascade, stages):
        """Mean seconds of some queries on the CPU, with nothing known before."""
        from common.matching.budget import seconds_of
        from common.matching.reordering import pairs_of

        import numpy as np

        took = []
        timed = np.linspace(0, len(here.query) - 1, min(N_TIMED, len(here.query))).astype(int)
        for i in [0, *timed.tolist()]:  # the first one warms up
            described = {}

            def compare(name, photo, columns, i=i, described=described):
                matcher, features = self.on_cpu[name], self.scores[name].features
                if name not in described:
                    [described[name]] = matcher.describe([self.paths[here.query[i]]])
                return matcher.scores(
                    described[name], [features[row] for row in here.gallery[columns].tolist()]
                )

            pairs = replace(pairs_of(here, i, self.labels, {}), compare=compare)
            took.append(seconds_of(partial(cascade.ask, pairs, stages)))
        return sum(took[1:]) / len(took[1:])


def drawn(args):
    """The folder of the turtles."""
    from common.splits.study import SMOKE_FOLDER
    from common.turtles.dataset import DEFAULT_FOLDER, TurtleParameters, ensure_turtles

    if args.smoke:
        return ensure_turtles(SMOKE_FOLDER, TurtleParameters.small(), progress=False)
    parameters = TurtleParameters(seed=1, n_known=N_TURTLES, n_newcomers=0, one_day_share=0.0)
    return ensure_turtles(DEFAULT_FOLDER.with_name("turtles_many"), parameters)


def embedded(args, catalogue, device):
    """Embeddings of the whole catalogue, by the trained model or the backbone as it comes."""
    from common.data.images import PhotoDataset, evaluation_transform, read_photos
    from common.models.backbones import load_backbone
    from common.models.extraction import extract
    from common.models.heads import EmbeddingHead, Recogniser
    from common.models.storage import load_recogniser

    import numpy as np

    if args.trained:
        model, _ = load_recogniser(args.trained)
    else:
        backbone = load_backbone("efficientnet_lite0", image_size=64 if args.smoke else 192)
        model = Recogniser(backbone, EmbeddingHead(backbone.n_features))
    preprocessing = model.backbone.preprocessing
    pixels = read_photos(catalogue.paths(), preprocessing.stored_size)
    photos = PhotoDataset(pixels, np.zeros(len(pixels)), evaluation_transform(preprocessing))
    return extract(model, photos, device=device, title="embeddings")


def rows_of(size, found, n_pairs, seconds, animals):
    """Rank-1, what it is of the full LightGlue's, and the time."""
    from common.measures import intervals

    rows, full = [], found[FULL].is_correct_at_1.astype(float)
    for way, report in found.items():
        right = report.is_correct_at_1.astype(float)
        gain = intervals.paired_bootstrap_over_individuals(right, full, animals)
        rows.append({
            "gallery": f"{size:,} photos", "way": way,
            **intervals.interval_columns(
                "rank-1", intervals.bootstrap_over_individuals(right, animals)
            ),
            "LightGlue pairs": n_pairs[way] if way not in (COSINE, XFEAT) else 0,
            "s per query": seconds[way],
            "share of its time": seconds[way] / seconds[FULL],
            **intervals.interval_columns("rank-1 over it", gain),
            "share of its rank-1": right.mean() / max(full.mean(), 1e-9),
        })  # fmt: skip
    return rows


if __name__ == "__main__":
    run_script(main)
