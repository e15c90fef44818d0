"""Growing a classifier: resolutions, features before and after the activation, weights, probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from plopkit.viz.colours import AFTER, BEFORE, NEUTRAL, SIGNED_HEAT, legend_colour
from plopkit.viz.figures import legend_below, titled
from plopkit.viz.legends import class_patches
from plopkit.viz.masks import overlay
from plopkit.viz.style import styled
from plopkit.viz.words import contents

MANY = 40  # with more channels than that, their names do not fit


@styled
def resolutions(
    image: np.ndarray, small: np.ndarray, large: np.ndarray, names: Sequence[str], title: str, credit: str = ""
) -> Figure:
    """An image and its prediction, at the classifier's resolution and at its own.

    Args:
        image: (3, H, W) uint8.
        small: (h, w) labels, from the classifier's own output.
        large: (H, W) labels, from the upsampled logits.
        names: class names, indexed by label.
        title: title of the figure.
        credit: attribution of the images, shown in small print.
    """
    figure = titled(title, 9, 3.6)
    height, width = large.shape
    rows, columns = (np.arange(n) * m // n for n, m in ((height, small.shape[0]), (width, small.shape[1])))
    shown = [
        ("image", image.transpose(1, 2, 0)),
        (f"small: {small.shape[0]} x {small.shape[1]}", overlay(image, small[np.ix_(rows, columns)])),
        (f"logits: {height} x {width}", overlay(image, large)),
    ]
    for axis, (name, picture) in zip(figure.subplots(1, 3), shown, strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(name, fontsize=10)
        axis.set(xticks=[], yticks=[])
    labels = np.union1d(small, large)
    legend_below(figure, class_patches(labels, names), 8, credit, fontsize=9)
    coarse = f"at {small.shape[0]} x {small.shape[1]} pixels {contents(small, names)}"
    figure.alt = f"{title}: an image and its prediction, {coarse}; at {height} x {width} {contents(large, names)}."
    return figure


@styled
def before_and_after(image: np.ndarray, features: np.ndarray, channel: int, slope: float, title: str) -> Figure:
    """The image, one channel of a feature map before and after a leaky ReLU, and a histogram of all channels.

    Args:
        image: (3, H, W) uint8.
        features: (C, h, w), before the activation.
        channel: the one shown.
        slope: slope of the leaky ReLU below zero.
        title: title of the figure.
    """
    after = np.where(features > 0, features, slope * features)
    figure = titled(title, 9, 2.4)
    figure.get_layout_engine().set(w_pad=0.1)  # type: ignore[union-attr, call-arg]
    left, *maps, right = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.1))
    left.imshow(image.transpose(1, 2, 0))
    left.set_title("image", fontsize=10)
    extent = float(np.abs(features[channel]).max())
    for axis, values, when in zip(maps, (features, after), ("before", "after"), strict=True):
        picture = axis.imshow(values[channel], cmap=SIGNED_HEAT, norm=CenteredNorm(0, extent))
        axis.set_title(f"channel {channel}, {when}", fontsize=10)
    for axis in (left, *maps):
        axis.set(xticks=[], yticks=[])
    figure.colorbar(picture, ax=maps, location="right", shrink=0.8, label="feature value (no unit)")
    low, high = np.quantile(features, [0.002, 0.998]).tolist()
    bins = np.linspace(low, high, 60).tolist()
    right.hist(features.ravel(), bins, color=BEFORE, alpha=0.8, label="before")
    right.hist(after.ravel(), bins, color=AFTER, histtype="step", linewidth=1.6, label="after")
    right.set(yscale="log", xlabel="feature value, all channels", ylabel="number of values")
    right.legend(fontsize=8)
    below = (features < 0).mean()
    figure.alt = (
        f"{title}: an image, channel {channel} of its features before and after the activation, and a histogram of "
        f"all channels. {100 * below:.0f} % of the features are below 0, the lowest at {features.min():.2f} before and "
        f"{after.min():.2f} after."
    )
    return figure


@styled
def classifier_view(rows: np.ndarray, labels: Sequence[int], n_old: int, names: Sequence[str], title: str) -> Figure:
    """A classifier's weights as a heat map, with the biases at the right.

    Args:
        rows: (C, width + 1): a row per channel, its bias last (`classifier_rows`).
        labels: the label of each channel.
        n_old: number of old channels; a line separates them from the new ones.
        names: class names, indexed by label.
        title: title of the figure.
    """
    figure = titled(title, 9, 0.17 * min(len(rows), MANY) + 1.4)
    axes = figure.subplots(1, 2, sharey=True, width_ratios=(20, 1))
    parts = (("weights, by channel of the head", rows[:, :-1]), ("bias", rows[:, -1:]))
    for axis, (name, values) in zip(axes, parts, strict=True):
        limit = float(np.quantile(np.abs(values), 0.99))
        picture = axis.imshow(
            values, cmap=SIGNED_HEAT, norm=CenteredNorm(0, limit), aspect="auto", interpolation="nearest"
        )
        axis.axhline(n_old - 0.5, color="k", linewidth=1.2)
        axis.set_xlabel(name)
        bar = figure.colorbar(picture, ax=axis, location="right", aspect=25, fraction=0.05 if name != "bias" else 0.6)
        bar.set_label(f"{name.split(',')[0]} (no unit)", fontsize=9)
    axes[1].set_xticks([])
    _channel_names(axes[0], labels, names, "y")
    sizes = [
        f"{part} weights {np.abs(rows[at, :-1]).mean():.3f}, biases {rows[at, -1].mean():.2f}"
        for part, at in (("old", slice(n_old)), ("new", slice(n_old, None)))
        if len(rows[at])
    ]
    figure.alt = (
        f"{title}: a heat map of the classifier, {n_old} old and {len(rows) - n_old} new channels. "
        f"Means: {'; '.join(sizes)}."
    )
    return figure


@styled
def probability_bars(
    before: np.ndarray, after: Mapping[str, np.ndarray], labels: Sequence[int], names: Sequence[str], title: str
) -> Figure:
    """The probability of each channel before and after growing, on a logarithmic axis; a panel for each way to grow.

    Args:
        before: (n_old,).
        after: (n_seen,) by the panel's name.
        labels: the label of each channel.
        names: class names, indexed by label.
        title: title of the figure.
    """
    figure = titled(title, 9, 2.1 * len(after) + 1.4)
    axes = figure.subplots(len(after), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    places = np.arange(len(labels))
    for axis, (name, values) in zip(axes, after.items(), strict=True):
        axis.bar(places[: len(before)] - 0.2, before, 0.38, color="w", edgecolor="k", linewidth=0.8)
        axis.bar(
            places + 0.2, values, 0.38, color=[legend_colour(label) for label in labels], edgecolor="0.4", linewidth=0.5
        )
        axis.axvline(len(before) - 0.5, color="k", linewidth=1, linestyle=":")
        axis.set_title(name, fontsize=10)
        axis.set(yscale="log", ylabel="probability", ylim=(min(before.min(), values.min()) / 2, 1.3))
        axis.grid(axis="y", alpha=0.3)
    _channel_names(axes[-1], labels, names, "x")
    handles = [
        Patch(facecolor="w", edgecolor="k", label="before growing"),
        Patch(facecolor=NEUTRAL, edgecolor="0.4", label="after, in the class's colour (right of the dots: new)"),
    ]
    legend_below(figure, handles, 2, fontsize=9)
    n_old = len(before)
    said = [
        f"{name}: background {values[0]:.2g}, new classes together {values[n_old:].sum():.2g}"
        for name, values in after.items()
    ]
    figure.alt = (
        f"{title}: bars of probability on a logarithmic axis. "
        f"Before growing: background {before[0]:.2g}. {'; '.join(said)}."
    )
    return figure


def _channel_names(axis: Axes, labels: Sequence[int], names: Sequence[str], side: str) -> None:
    if len(labels) > MANY:
        axis.set(**{f"{side}label": "channel"})
    elif side == "x":
        axis.set_xticks(range(len(labels)), [names[label] for label in labels], rotation=60, ha="right", fontsize=8)
    else:
        axis.set_yticks(range(len(labels)), [names[label] for label in labels], fontsize=7)
