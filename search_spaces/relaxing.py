"""One call of a relaxed network of the space `gnn`, from its features to its outputs."""

import torch
from torch import Tensor

from search_spaces.elastic import Channels, Place, layer_operator, linear_map
from search_spaces.frozen import FrozenMapping
from search_spaces.networks import read_out
from search_spaces.relaxation import Align, Drop, Mixture, align, fit, sum_of
from search_spaces.relaxing_layers import (
    STEM,
    Context,
    Network,
    Source,
    deeper,
    joined,
    run_layer,
)
from search_spaces.slices import Weights


class Call:
    """See `search_spaces.relaxation.Relaxed.logits` for the arguments."""

    def __init__(
        self,
        network: Network,
        weights: Weights,
        mixture: Mixture,
        inputs: tuple[Tensor, ...],
        drop: Drop,
        how: Align,
    ) -> None:
        self._x, edges, *self._graphs = inputs
        self._network = network
        self._at = Context(network, weights, mixture, edges, drop, how)

    def logits(self) -> Tensor:
        features = self._x.shape[1]
        channels = Channels("features", features, features)
        one = self._at.one
        begun = self._perceptron("pre", [Source(channels, self._x, {features: one}, one)])
        read = [self._of_graphs(source) for source in self._layers(begun)]
        return self._output(self._perceptron("post", read))

    def _perceptron(self, name: str, reads: list[Source]) -> list[Source]:
        """What follows a perceptron may read: what it read, where it has no layers, or its own."""
        shares = {int(n): share for n, share in self._at.shares(f"{name}.layers").items()}
        found = [source.times(shares[0]) for source in reads] if 0 in shares else []
        outputs = []
        for i in range(max(shares)):
            reads = [self._mapped(name, f"{name}{i}", reads)]
            if i + 1 in shares:
                outputs.append((shares[i + 1], reads[0].value))
        if len(outputs) == 1:
            return [*found, reads[0].times(outputs[0][0])]
        if outputs:
            total = sum_of(outputs)
            found.append(Source(reads[0].channels, total, reads[0].widths, self._at.one))
        return found

    def _mapped(self, name: str, bank: str, reads: list[Source]) -> Source:
        """A layer of a perceptron."""
        network = self._network
        widest, outputs = network.widest(name), list[tuple[Tensor, Tensor]]()
        shares = {int(width): share for width, share in self._at.shares(f"{name}.width").items()}
        channels, value = self._at.read(reads)
        for width, share in shares.items():
            writes = Channels(name, width, widest, network.groups, sliced=True)
            place = Place("m", bank, channels, writes, linear_map)
            mapped = self._at.run(network.whole, place, value)
            outputs.append((share, self._at.activated(bank, "relu", mapped)))
        joint = align(outputs, network.groups, self._at.align)
        writes = Channels(name, joint.shape[1], widest, network.groups, sliced=True)
        return Source(writes, joint, shares, self._at.one)

    def _layers(self, begun: list[Source]) -> list[Source]:
        """What is read of the layers by what follows them."""
        if self._network.parts > 1:
            begun = [self._widened(source) for source in begun]
        seen: list[list[Source]] = [begun]
        dense = self._at.shares("connectivity").get("dense")
        for i in range(max(int(depth) for depth in self._at.shares("depth"))):
            reads = [self._part(source) for source in seen[-1]]
            before = list(reads)
            if dense is not None:
                earlier = [self._part(s).times(dense) for sources in seen[:-1] for s in sources]
                reads = earlier + reads
            seen.append([self._passed(run_layer(self._at, i, reads, before), seen[-1])])
        return self._read_by_what_follows([sources[0] for sources in seen[1:]])

    def _read_by_what_follows(self, layers: list[Source]) -> list[Source]:
        depths = {int(depth): share for depth, share in self._at.shares("depth").items()}
        modes, zero = self._at.shares("jk.mode"), 0 * self._at.one
        knowing = self._at.shares("connectivity").get("jk", zero)
        side_by_side, largest = modes.get("cat", zero) * knowing, modes.get("max", zero) * knowing
        found = []
        for i, layer in enumerate(layers):
            last = depths.get(i + 1, zero)
            share = last if i == 0 and i + 1 in depths else last * (1 - side_by_side)
            if "cat" in modes:
                share = share + side_by_side * (deeper(self._at, i) if i else deeper(self._at, 1))
            if i + 1 not in depths and "cat" not in modes:
                continue
            if i and "max" in modes and i + 1 in depths:
                maximum = self._maximum(layers[: i + 1])
                value = sum_of([(1 - largest, layer.value), (largest, maximum)])
                layer = Source(layer.channels, value, layer.widths, layer.share)
            found.append(layer.times(share))
        return found

    def _maximum(self, layers: list[Source]) -> Tensor:
        """[rows, width of the last] the largest of the last and of the others, mapped to it."""
        last, whole = layers[-1], self._network.whole
        bank = f"{last.channels.source}.joins"
        mapped = [
            joined(self._at, whole, bank, layer, last.channels, last.widths)
            for layer in layers[:-1]
        ]
        return torch.stack([*mapped, last.value]).amax(dim=0)

    def _of_graphs(self, source: Source) -> Source:
        """Of a graph task, one row a graph."""
        if not self._graphs:
            return source
        ids, graphs = self._graphs
        shares = self._at.shares("readout")
        terms = [
            (share, read_out(source.value, ids, graphs, str(how))) for how, share in shares.items()
        ]
        return Source(source.channels, sum_of(terms), source.widths, source.share)

    def _output(self, reads: list[Source]) -> Tensor:
        classes = self._network.task.n_classes
        writes, whole = Channels("classes", classes, classes), self._network.whole
        channels, value = self._at.read(reads)
        if self._graphs:
            place = Place("m", "output", channels, writes, linear_map)
            return self._at.run(whole, place, value)
        terms = []
        for name, share in self._at.shares("output.operator").items():
            arguments = (str(name), FrozenMapping[object]())
            place = Place("m", f"output.{name}", channels, writes, layer_operator, arguments)
            terms.append((share, self._at.run(whole, place, value, self._at.edges)))
        return sum_of(terms)

    # Of parts of channels; with one part there is nothing to do.

    def _widened(self, source: Source) -> Source:
        """A source as wide as layers are."""
        widest = self._network.widest("layer0")
        if source.channels.source == "features":
            value = torch.nn.functional.linear(self._at.drop(source.value), self._at.weights[STEM])
        else:
            value = fit(source.value, widest, self._network.groups)
        return self._wide(source.channels.source, value, source.share)

    def _wide(self, name: str, value: Tensor, share: Tensor) -> Source:
        widest, groups = value.shape[1], self._network.groups
        channels = Channels(name, widest, widest, groups, sliced=True)
        return Source(channels, value, {widest: self._at.one}, share)

    def _part(self, source: Source) -> Source:
        """The leading channels, which go through what is mixed."""
        if self._network.parts == 1:
            return source
        width = source.value.shape[1] // self._network.parts
        return self._wide(source.channels.source, source.value[:, :width], source.share)

    def _passed(self, layer: Source, before: list[Source]) -> Source:
        """A layer's output with the channels that went past it, shuffled."""
        parts = self._network.parts
        if parts == 1:
            return layer
        width = self._network.widest(layer.channels.source)
        computed = fit(layer.value, width // parts, self._network.groups)
        past = torch.stack([s.weighed[:, width // parts :] for s in before]).sum(0)
        value = shuffled(torch.cat([computed, past], dim=1), parts)
        return self._wide(layer.channels.source, value, self._at.one)


def shuffled(x: Tensor, parts: int) -> Tensor:
    """Channels [N, C] dealt: the first of each part, then the second of each, and so on."""
    return x.view(x.shape[0], parts, -1).transpose(1, 2).flatten(1)
