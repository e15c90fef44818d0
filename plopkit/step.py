"""A step of a scenario: which labels it learns, which images it uses, and how labels become channels."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plopkit.grammar import DOMAIN
from plopkit.ids import id_type, ignored_id, table_width


@dataclass(frozen=True)
class Step:
    """One training phase. `new`, `old` and `future` are labels; the background is new at step 0.

    In the protocol `domain`, step 0 learns all labels, and later steps have other images: `domains` names the domains
    that they come from, and `new` is ().

    Example:
        >>> step = Scenario.parse("voc 15-5 overlap").steps[1]
        >>> step.new, step.n_old, step.n_seen
        ((16, 17, 18, 19, 20), 16, 21)
    """

    index: int
    protocol: str
    new: tuple[int, ...]
    old: tuple[int, ...]
    future: tuple[int, ...]
    domains: tuple[str, ...] = ()
    """The domains that the step trains on, in the protocol `domain`."""
    old_domains: tuple[str, ...] = ()
    future_domains: tuple[str, ...] = ()
    unlearnt: tuple[int, ...] = ()
    """Labels of the data set that no step learns: their pixels are ignored."""

    @property
    def seen(self) -> tuple[int, ...]:
        """Labels known after this step; `seen[i]` is the label of channel i."""
        return self.old + self.new

    @property
    def n_old(self) -> int:
        """Channels of the teacher, background included; 0 at step 0, which has no teacher."""
        return len(self.old)

    @property
    def n_seen(self) -> int:
        """Channels of the net, background included."""
        return len(self.seen)

    @property
    def n_new(self) -> int:
        """Channels that the step adds: 0 at later steps of the protocol `domain`."""
        return len(self.new)

    @property
    def n_labels(self) -> int:
        """Number of labels of the data set, background included."""
        return len(self.seen) + len(self.future) + len(self.unlearnt)

    @property
    def seen_domains(self) -> tuple[str, ...]:
        """Domains known after this step; () except in the protocol `domain`."""
        return self.old_domains + self.domains

    @property
    def labelled(self) -> str:
        """Which labels the training masks show: "seen" in the protocols sequential and domain, else "new"."""
        return "seen" if self.protocol in ("sequential", DOMAIN) else "new"

    def uses(self, present: Iterable[int]) -> bool:
        """Whether an image whose mask has these labels is trained on, by the rule of `trains_on`."""
        return bool(self.trains_on(np.isin(np.arange(table_width(self.n_labels)), list(present))[None])[0])

    def trains_on(self, presence: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which images are trained on.

        Overlap requires at least one new label; disjoint and sequential also that there is no future label.
        Partitioned requires that the image was assigned to one of the new classes by `assign_classes`. Domain requires
        that it comes from one of the step's domains, whatever its labels. Background, ignored pixels and ids that are
        not labels of the data set never count.

        Args:
            presence: (N, 256) bool, the labels that each mask has, or (N, `table_width(n_labels)`) where there are
                more than 255; for partitioned, a table of `assign_classes`, for domain, one of `with_domains`.

        Returns:
            (N,) bool.

        Raises:
            ValueError: The table has another shape, or several classes in one row where images are partitioned.
        """
        if self.protocol == DOMAIN:
            return self.comes_from(presence, self.domains)
        used = self._any_of(presence, self.new)
        if self.protocol in ("disjoint", "sequential"):
            used[self._any_of(presence, self.future)] = False
        elif self.protocol == "partitioned":
            classes = [label for label in self.seen + self.future if label]
            if (presence[:, classes].sum(axis=1) > 1).any():
                raise ValueError(
                    "partitioned: an image belongs to one class only, and the presence table has several in one row; "
                    "apply assign_classes(presence, stems, seed) to it first"
                )
        return used

    def evaluates_on(self, presence: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which images are evaluated on, (N, 256) -> (N,) bool: those with a seen label other than background.

        In the protocol `domain`, those of all domains seen; the table is one of `with_domains`.
        """
        if self.protocol == DOMAIN:
            return self.comes_from(presence, self.seen_domains)
        return self._any_of(presence, self.seen)

    def comes_from(self, presence: npt.NDArray[np.bool_], domains: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which images come from some domains, by a table of `with_domains`: (N, 256 + domains) -> (N,) bool."""
        known = self.seen_domains + self.future_domains
        self._check_width(presence)
        columns = [table_width(self.n_labels) + known.index(domain) for domain in domains]
        return np.asarray(presence[:, columns].any(axis=1))

    uses_table, sees_table = trains_on, evaluates_on  # their names in plopkit 0.1

    def lookup(self, labelled: str = "new", ignore_future: bool = False) -> npt.NDArray[np.unsignedinteger]:
        """The table that turns labels into channels: `target = table[mask]`.

        Labels of the data set that are not shown become background (channel 0); ids that are not labels of the data
        set become 255, as does 255 itself.

        Args:
            labelled: "new" shows the new labels only (training), "seen" every seen label (evaluation, and training
                in the sequential protocol). In the protocol `domain` both show all labels.
            ignore_future: Whether labels of later steps become 255, not background.

        Returns:
            (256,) uint8, read-only. Beyond 255 labels it has 65,536 entries, beyond 255 channels seen it is uint16, and
            65535 takes the place of 255 in each.

        Raises:
            ValueError: Another `labelled`.
        """
        if labelled not in ("new", "seen"):
            raise ValueError(f"labelled is 'new' or 'seen', not {labelled!r}")
        first = self.n_old if labelled == "new" and self.protocol != DOMAIN else 0
        table = np.full(ignored_id(self.n_labels) + 1, ignored_id(self.n_seen), id_type(self.n_seen))
        table[list(self.seen if ignore_future else self.seen + self.future)] = 0
        table[list(self.seen[first:])] = np.arange(first, self.n_seen)
        table.flags.writeable = False
        return table

    @property
    def label_of(self) -> npt.NDArray[np.unsignedinteger]:
        """The table (256,) uint8 that turns channels into labels: `mask = label_of[target]`; all else is 255.

        It has 65,536 entries, and is uint16, as `lookup` is.
        """
        table = np.full(ignored_id(self.n_seen) + 1, ignored_id(self.n_labels), id_type(self.n_labels))
        table[: self.n_seen] = self.seen
        return table

    def _any_of(self, presence: npt.NDArray[np.bool_], labels: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        self._check_width(presence)
        columns = [label for label in labels if label != 0]
        return np.asarray(presence[:, columns].any(axis=1))

    def _check_width(self, presence: npt.NDArray[np.bool_]) -> None:
        n_domains = len(self.seen_domains + self.future_domains)
        width = table_width(self.n_labels) + n_domains
        if presence.ndim != 2 or presence.shape[1] != width:
            hint = "; with_domains adds a column for each domain" if n_domains else ""
            raise ValueError(f"a presence table has the shape (images, {width}), not {presence.shape}{hint}")
