"""What `nas init` writes: studies/quickstart.toml, which an installed program does not have."""

STUDY = """\
# A first search: less than a minute on two cores, without a download.
#   nas search studies/quickstart.toml
# Every key, with its default: docs/study_file.md. What can be named: nas plugins

[study]
# name = "quickstart"    # in the database; by default the name of this file
seed = 0                 # of every random choice; with one worker: same seed, same trials
# batch = 8              # trials proposed together; those of one structure train side by side
# What is sought, the most important first; maximize or minimize.
objectives = { val_accuracy = "maximize", params = "minimize" }
# Bounds on any metric. Those on facts (params, macs, model_bytes, ...) are checked before training.
constraints = ["params <= 50_000"]

[space]
name = "gnn"             # message-passing networks
# A list is the choices of one decision; what is left out has the default of `nas plugins space`.
depth = [1, 2]
operators = ["gcn", "gat", "sage", "tag", "linear"]
width = [8, 16, 32]
connectivity = ["plain", "residual"]
dropout = [0.2, 0.5]     # a decision as well, because it stands here and not in [evaluator]

[dataset]
name = "digits_knn"      # scikit-learn's 1,797 images of digits, each joined to its 8 nearest
labels_per_class = 5     # few labels: that is where the graph helps

[strategy]
name = "nsga2"           # for several objectives; evolution, tpe and random are there too
population = 8

[evaluator]
name = "training"        # trains each candidate from scratch; its best validation value counts
epochs = 100
lr = 0.01

[budget]
trials = 100             # in all; `nas resume quickstart --trials 200` goes on
# seconds = 600          # whichever bound is reached first ends the search

[executor]
name = "processes"       # each worker a process with one thread
workers = 2

# Successive halving: at 10 and at 30 epochs one trial in two goes on, the others are pruned.
[halving]
epochs = [10, 30]
reduction = 2            # with 3, the default, more is saved, and more is decided on little

# With the profile of a device (nas latency profile), latency_ms is a metric like params.
# [latency]
# device = "NAME"

# What the space has that one of these exporters cannot take is refused before the search.
# [export]
# targets = ["pt2", "onnx"]

# Curves of the search, live in TensorBoard or MLflow.
# [log]
# tensorboard = "runs"
"""
