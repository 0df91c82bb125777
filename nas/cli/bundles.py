"""`nas export`, `nas predict`: leaving with a bundle, and trying it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._output import csv_text, json_text, write_json, write_rows
from nas.cli._progress import Live, say
from nas.cli._shared import (
    Trial,
    bundle_format_option,
    command,
    data_root_option,
    format_option,
    name_argument,
    storage_option,
    trial_option,
)
from nas.cli._types import File, Folder, Formats, OneOf
from nas.cli._usage import WrongUsage

if TYPE_CHECKING:
    from search_spaces.plugins import Plugin


@command("export", is_long=True)
@name_argument
@trial_option
@click.option(
    "--to",
    "to",
    metavar="DIR",
    required=True,
    type=Folder(),
    help="Folder of the bundle.",
)
@click.option(
    "--edges",
    type=OneOf(("any", "both")),
    default="any",
    show_default=True,
    help="Of undirected graphs, how callers give them: both directions of each edge, which spares "
    "the program to see to that, or any.",
)
@bundle_format_option
@storage_option
@data_root_option
def export_command(
    name: str,
    trial: Trial,
    to: Path,
    edges: str,
    formats: Formats,
    storage: str,
    data_root: Path,
) -> None:
    """Write a trial as files to deploy.

    A trial of the study NAME as a bundle: a folder that runs without this program, with torch alone
    where nothing else is asked for.

    \b
    Examples:
      nas export quickstart --to bundle
      nas export quickstart --trial 7 --to bundle
      nas export quickstart --format aoti,onnx --to bundle
      nas export quickstart --format int8_static,json --to bundle
    """
    from nas.store import Store

    Store.open_existing(storage).status(name)
    with Live("exporting") as live:
        from nas.export.bundle import export_trial

        manifest = export_trial(
            name,
            trial,
            to,
            storage=storage,
            data_root=data_root,
            formats=formats.programs,
            gives_both=edges == "both",
            told=live.step,
        )
    parity, origin = manifest["programs"][0]["parity"], manifest["provenance"]
    row = {"bundle": str(to), "manifest": str(to / "manifest.json"), "trial": origin["trial"]}
    row |= {key: parity[key] for key in ("largest_difference", "mean_difference", "tolerance")}
    row |= {n: m["value"] for n, m in manifest["metrics"].items() if m["by"] == "program"}
    row["programs"] = [program["file"] for program in manifest["programs"]]
    row["digest"] = manifest["digest"]
    tell_digest(storage, manifest)
    if formats.printed == "json":
        write_json(row)
    elif formats.printed == "csv":
        write_rows([row], formats.printed)
    else:
        click.echo(row["manifest"])
        say(f"trial {row['trial']} exported; run again, outputs differ by at most")
        for program in manifest["programs"]:
            parity = program["parity"]
            differs = f"{parity['largest_difference']:.1e}{_allowed(parity)}"
            say(f"  {program['file']}: {differs}")
        for name, metric in manifest["training"].items():
            reached = manifest["metrics"][name]["value"]
            say(f"{name} {reached:.6g}, before export {metric['value']:.6g}")
        for note in manifest["notes"]:
            say(note)


def tell_digest(storage: str, manifest: Mapping[str, Any]) -> None:
    """Record a bundle with its trial, and say by what it is known again."""
    from nas.bundling import recorded

    say(f"digest {manifest['digest']}")
    if why := recorded(storage, manifest):
        say(f"warning: {why}")


def _allowed(row: Mapping[str, Any]) -> str:
    """What was judged, and its bound."""
    mean = row["mean_difference"]
    judged = "" if mean is None else f", in the mean by {mean:.1e}"
    return (
        f"{judged} (allowed: {row['tolerance']:.0e} times the larger of 1 and the largest output)"
    )


@command("predict", is_long=True)
@click.argument("bundle", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--dataset", metavar="SPEC", help="A study file, for its [dataset], or a dataset's name."
)
@click.option(
    "--input",
    "input_file",
    metavar="NPZ",
    type=File(),
    help="A graph: x and edge_index, for a graph task graph_ids too.",
)
@click.option("--out", metavar="FILE", type=File(), help="Write here: .csv or .json.")
@click.option(
    "--exporter",
    metavar="NAME",
    help="Whose program to run, where it is not the first: onnx, or a module that did not come "
    "with nas.",
)
@data_root_option
@format_option
@click.pass_context
def predict_command(
    ctx: click.Context,
    bundle: Path,
    dataset: str | None,
    input_file: Path | None,
    out: Path | None,
    exporter: str | None,
    data_root: Path,
    fmt: str,
) -> None:
    """Predict with a bundle.

    With the bundle in DIR, for a dataset or a graph of your own; without --out, on stdout. Where
    edges were pruned with the network, those that are left are used for the graph that they were
    pruned of, and all edges of any other one; stderr says which.

    \b
    Examples:
      nas predict bundle --dataset studies/quickstart.toml --out predictions.csv
      nas predict bundle --dataset digits_knn --format json
      nas predict bundle --input graph.npz
    """
    if (dataset is None) == (input_file is None):
        raise click.UsageError("expected one of --dataset and --input, and not both")
    if out is not None and out.suffix not in (".csv", ".json"):
        raise click.UsageError(f"--out: expected a name ending in .csv or .json, got {out}")
    source = ctx.get_parameter_source("fmt")
    if out is not None and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--out says the format by its ending; leave --format out")
    plugin = None if dataset is None else dataset_of(dataset)
    with Live("predicting"):
        from nas.predict import predict

        predictions = predict(
            bundle, input=input_file, dataset=plugin, data_root=data_root, exporter=exporter
        )
        rows = predictions.rows()
    if predictions.note:
        say(predictions.note)
    if out is None:
        write_rows(rows, fmt, list(rows[0]) if rows else ())
        return
    _write_file(out, csv_text(rows) if out.suffix == ".csv" else json_text(rows))
    say(f"{len(rows)} predictions written to {out}")


def dataset_of(text: str) -> "Plugin":
    """Of a study file, or by name."""
    from nas.spec import check_plugin, load_spec
    from search_spaces.plugins import Plugin

    if text.endswith(".toml"):
        found, where = load_spec(text).dataset, f"{text}: [dataset]"
        if found is None:
            raise click.UsageError(f"{text} has no [dataset] to predict on")
        plugin = found
    else:
        plugin, where = Plugin(text), "--dataset"
    check_plugin("dataset", plugin, where)
    return plugin


def _write_file(out: Path, text: str) -> None:
    """Whoever waits for the file never reads a half."""
    from evaluators.replacing import replacing

    try:
        with replacing(out) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"{out} cannot be written: {error.strerror}") from error
