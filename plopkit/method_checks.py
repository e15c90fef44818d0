"""Whether a method can be trained with some settings: what it is asked for and cannot do is refused by name."""

from typing import TYPE_CHECKING

from plopkit.catalogue import METHODS
from plopkit.grammar import has_domains, read_words
from plopkit.recipes import WITH_MEMORY, recipe_values
from plopkit.settings import Memory, Settings

if TYPE_CHECKING:
    from plopkit.methods.base import Method


def check_method(settings: Settings, kind: "type[Method]") -> None:
    """Compare what settings ask of a method with what it can do.

    Args:
        settings: The settings.
        kind: The method's class.

    Raises:
        ValueError: The method makes no sense in the protocol, or has no use for a memory, its labels, saliency maps or
            the decoder; says what to change.
    """
    check_protocol(settings, kind)
    check_memory(settings, kind)
    who = f"{kind.title} ({settings.method})"
    if settings.data.saliency and not kind.uses_saliency:
        able = ", ".join(name for name, each in METHODS.items() if each.uses_saliency)
        raise ValueError(f"{who} makes no use of saliency maps; leave out data.saliency, or choose {able}")
    if kind.decoders and settings.model.decoder not in kind.decoders:
        raise ValueError(
            f"{who} has a decoder of its own, of the kind {' or '.join(kind.decoders)}; leave out model.decoder "
            f"{settings.model.decoder}, or choose another method"
        )


def check_protocol(settings: Settings, kind: "type[Method]") -> None:
    """ValueError where a method that needs new classes is to learn domains; names those that can."""
    if has_domains(settings.scenario) and not kind.learns_domains:
        able = ", ".join(name for name, each in METHODS.items() if each.learns_domains)
        raise ValueError(
            f"{settings.scenario}: {kind.title} ({settings.method}) makes no sense in the protocol domain, whose later "
            f"steps have no new class; methods that learn domains: {able}"
        )


def check_memory(settings: Settings, kind: "type[Method]") -> None:
    """ValueError where there is a memory and the method, the protocol or the task has no use for one."""
    memory, words = settings.memory, read_words(settings.scenario)
    if not memory.is_kept:
        usual, of_recipe = Memory(), recipe_values(settings.method, words, "smoke")
        for name, value in memory:
            if value not in (getattr(usual, name), of_recipe.get(f"memory.{name}")):
                raise ValueError(f"memory.{name} {value} without a budget; give memory.images, memory.mb or both")
        return
    remedy = "leave out memory.images and memory.mb"
    if settings.method in WITH_MEMORY:
        budgets = [f"memory.{name}" for name in ("images", "mb") if getattr(memory, name) is not None]
        remedy = (
            f"choose {WITH_MEMORY[settings.method]}, which is {settings.method} without its memory, or set "
            f"{' and '.join(budgets)} to None (in a file null)"
        )
    if has_domains(settings.scenario):
        raise ValueError(f"{settings.scenario}: the protocol domain has no memory; {remedy}")
    if words.task == "joint":
        raise ValueError(f"{settings.scenario}: one step has no earlier images; {remedy}")
    who = f"{kind.title} ({settings.method})"
    if not kind.allows_memory:
        able = ", ".join(name for name, each in METHODS.items() if each.allows_memory)
        raise ValueError(f"{who} makes no use of a memory; {remedy}, or choose a method that does: {able}")
    if memory.labels not in kind.memory_labels:
        raise ValueError(
            f"memory.labels {memory.labels} changes nothing for {who}, whose losses make no difference between old "
            f"classes and background; leave it out, or give {' or '.join(kind.memory_labels)}"
        )
