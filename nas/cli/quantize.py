"""`nas quantize`: a trained trial in few bits, as a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._output import write_json, write_rows
from nas.cli._progress import Live, say
from nas.cli._shared import (
    Trial,
    bundle_format_option,
    command,
    data_root_option,
    name_argument,
    storage_option,
    trial_option,
)
from nas.cli._types import Folder, Formats, OneOf
from nas.cli.bundles import tell_digest

if TYPE_CHECKING:
    from nas.quantizing import Quantized

_BITS = ("32", "16", "8", "6", "4", "3", "2", "ternary", "binary")


@command("quantize", is_long=True)
@name_argument
@trial_option
@click.option(
    "--to", "to", metavar="DIR", required=True, type=Folder(), help="Folder of the bundle."
)
@click.option(
    "--weight-bits", type=OneOf(_BITS), default="8", show_default=True, help="Of weights."
)
@click.option(
    "--activation-bits",
    type=OneOf(_BITS),
    default="8",
    show_default=True,
    help="Of what linear maps read, of messages and of what nodes aggregate.",
)
@click.option(
    "--method",
    type=OneOf(("flexround", "nearest")),
    default="flexround",
    show_default=True,
    help="flexround learns how to round weights, layer by layer; nearest does not.",
)
@click.option(
    "--scheme",
    type=OneOf(("affine", "symmetric", "fixed_point")),
    default="affine",
    show_default=True,
    help="affine: activations have a zero point; fixed_point: scales are powers of two.",
)
@click.option(
    "--granularity",
    type=OneOf(("channel", "tensor")),
    default="channel",
    show_default=True,
    help="Scales of weights: one for each output, or one for all.",
)
@click.option(
    "--observer",
    type=OneOf(("percentile", "minmax", "ema")),
    help="Ranges of activations; by default percentile, which leaves the outermost out, and with "
    "16 bits or more minmax.",
)
@storage_option
@data_root_option
@bundle_format_option
def quantize_command(
    name: str,
    trial: Trial,
    to: Path,
    weight_bits: str,
    activation_bits: str,
    method: str,
    scheme: str,
    granularity: str,
    observer: str | None,
    formats: Formats,
    storage: str,
    data_root: Path,
) -> None:
    """Bring a trained trial to few bits, and write it as a bundle.

    A trial of the study NAME, without training it again: its dataset's graph is all that is looked
    at, and no label of it. Validation says what it cost. To train networks in few bits, search with
    [extension.quantization].

    \b
    Examples:
      nas quantize quickstart --weight-bits 4 --to bundle
      nas quantize quickstart --trial 7 --activation-bits 32 --method nearest --to bundle
    """
    from nas.store import Store

    Store.open_existing(storage).status(name)
    how: dict[str, Any] = {"method": method, "scheme": scheme}
    how |= {"granularity": granularity, "observer": observer}
    with Live("quantizing") as live:
        from nas.quantizing import Manner, quantize_trial

        done = quantize_trial(
            name,
            trial,
            to,
            Manner(weight_bits, activation_bits, **how),
            storage=storage,
            data_root=data_root,
            formats=formats.programs,
            told=live.step,
        )
    row: dict[str, Any] = {"bundle": str(to), "manifest": str(to / "manifest.json")}
    row |= {"trial": done.manifest["provenance"]["trial"], "method": method}
    row |= {"weight_bits": weight_bits, "activation_bits": activation_bits}
    row |= {"before": dict(done.before), "after": dict(done.after)}
    row["digest"] = done.manifest["digest"]
    tell_digest(storage, done.manifest)
    if formats.printed == "json":
        write_json(row)
    elif formats.printed == "csv":
        write_rows([row], formats.printed)
    else:
        click.echo(row["manifest"])
        say(
            f"trial {row['trial']} with weights of {weight_bits} and activations of "
            f"{activation_bits} bits: {_change(done)}"
        )
        for note in done.manifest["notes"]:
            say(note)


def _change(done: "Quantized") -> str:
    before, after = done.before, done.after
    metrics = [
        f"{name} {before[name]:.4f} before, {after[name]:.4f} after"
        for name in ("val_accuracy", "val_loss")
    ]
    size = f"weights {before['model_bytes']:,} bytes before, {after['model_bytes']:,} after"
    return "; ".join([*metrics, size])
