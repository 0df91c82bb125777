"""Writes nodes.csv and edges.csv beside this file: how a graph of your own may look.

400 of scikit-learn's images of digits, each joined to its five nearest; the features are the sums
of rows and columns. Real data, constructed graph.

    python studies/own_graph/make.py
"""

import csv
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph

HERE = Path(__file__).parent


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    chosen = np.random.RandomState(0).choice(len(labels), 400, replace=False)
    pixels = images[chosen].reshape(-1, 8, 8)
    features = np.concatenate([pixels.sum(1), pixels.sum(2)], 1).astype(int)
    edges = np.argwhere(kneighbors_graph(images[chosen], 5).toarray())
    with (HERE / "nodes.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        sums = [f"column_{i}" for i in range(8)] + [f"row_{i}" for i in range(8)]
        writer.writerow(["id", "label", "split", *sums])
        for node, (label, row) in enumerate(zip(labels[chosen], features, strict=True)):
            split = ("train", "val", "test")[0 if node < 100 else 1 if node < 250 else 2]
            writer.writerow([f"image{node}", label, split, *row])
    with (HERE / "edges.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "target"])
        writer.writerows([f"image{a}", f"image{b}"] for a, b in edges)


if __name__ == "__main__":
    main()
