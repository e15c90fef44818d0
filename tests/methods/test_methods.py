"""What every method guarantees, whatever its arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from batches import Case, prepared_by, terms_of
from pydantic import ValidationError
from torch import Tensor

from plopkit.backward import value_of
from plopkit.methods import METHODS, Batch, FineTuning, Method, StepContext
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import IGNORE, N_IDS

UNTRAINED = {"prototypes"}
"""Methods that train nothing, whose losses are for show."""

every_method = pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
every_trained = pytest.mark.parametrize("kind", [METHODS[name] for name in METHODS if name not in UNTRAINED])


def test_methods_are_registered_by_their_names() -> None:
    assert {"ft", "joint", "mib", "plop"} <= set(METHODS)
    for name, kind in METHODS.items():
        assert kind.name == name
        assert kind.title and kind.source and kind.__doc__
        assert not kind.__abstractmethods__
    assert len({kind.title for kind in METHODS.values()}) == len(METHODS)
    with pytest.raises(TypeError, match="abstract"):
        Method()


@every_method
def test_a_method_is_a_frozen_value(kind: type[Method]) -> None:
    method = kind()
    assert method == kind()
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind(learning_rate=1)
    for name in kind.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(method, name, getattr(method, name))


@every_method
def test_hyper_parameters_are_bounded_and_described(kind: type[Method]) -> None:
    schema = kind.model_json_schema().get("properties", {})
    assert set(schema) == set(kind.model_fields)
    for name, field in schema.items():
        assert field.get("description"), name
        wrong = [WRONG[field["type"]](field), None]
        if field["type"] == "array":
            wrong += [[WRONG[field["items"]["type"]](field["items"])], []]
        for value in wrong:
            with pytest.raises(ValidationError):
                kind(**{name: value})


BINARY = {"ssul-m", "dkd-m", "star-m"}
"""Methods with binary decisions and a memory. Two of them see new classes only, and SSUL-M has a channel more."""
IGNORED_ARE_NEGATIVES = {"dkd", "star", "dkd-m", "star-m"}
"""Methods whose released code takes ignored pixels for pixels of no class, as the background's."""


def below(field: dict) -> float:
    """A number below the field's bound, which every number must have."""
    return field["exclusiveMinimum"] if "exclusiveMinimum" in field else field["minimum"] - 0.5


WRONG = {
    "number": below,
    "integer": below,
    "boolean": lambda field: "perhaps",
    "string": lambda field: "another of " + ", ".join(field["enum"]),
    "array": lambda field: 3,
}


def drawn_terms(*arguments: Any) -> dict[str, Tensor]:
    """`terms_of`, with the same random numbers in each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return terms_of(*arguments)


@pytest.mark.parametrize("n_new", [1, 5])
@every_trained
def test_losses_are_finite_and_train_the_net_only(kind: type[Method], n_new: int, case: Callable) -> None:
    method = kind()
    teacher, net, image, target, step = made = case(n_new, method)
    has_teacher = method.teacher(teacher, step) is not None
    prepared = prepared_by(method, teacher if has_teacher else None, [(image, target)], step)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    out, old = made.outputs()
    target_before = target.clone()
    losses = drawn_terms(method, out, old if has_teacher else None, target, step, prepared, net)
    assert losses and all(isinstance(name, str) and name for name in losses)
    for term in losses.values():
        assert term.shape == () and term.dtype == torch.float32
        assert term.isfinite() and term > 0
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    parts = ("encoder.net.conv_stem.weight", "decoder.reduce.weight")
    for name in (*parts, *(name for name in gradients if name.startswith("classifier.1."))):
        assert gradients[name].abs().max() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    assert torch.equal(target, target_before)
    repeated = drawn_terms(method, *made.outputs(), target, step, prepared, net)
    assert list(repeated) == list(losses) and all(map(torch.equal, repeated.values(), losses.values()))


@every_trained
def test_a_batch_of_ignored_pixels_gives_finite_losses(kind: type[Method], case: Callable) -> None:
    method = kind()
    made = case(1, method)
    teacher, net, image, target, step = made
    target[:] = IGNORE
    prepared = prepared_by(method, teacher, [(image, target)], step)
    losses = drawn_terms(method, *made.outputs(), target, step, prepared, net)
    assert all(term.isfinite() for term in losses.values())
    if kind.name not in IGNORED_ARE_NEGATIVES:
        assert next(iter(losses.values())) == 0  # the cross-entropy
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@every_method
def test_step_0_is_trained_by_fine_tuning_or_by_the_method_itself(kind: type[Method]) -> None:
    method = kind()
    assert method.first_step() in (FineTuning(), method) or kind.name in BINARY  # that of the same without a memory
    assert method.first_step().first_step() == method.first_step()


def test_a_method_that_builds_its_own_net_trains_step_0() -> None:
    class Plain(Method):
        """Everything else by default."""

        def losses(self, batch: Batch) -> dict[str, Tensor]:
            return FineTuning().losses(batch)

    class Built(Plain):
        """With its own net."""

        def build(self, encoder: Encoder, decoder: ASPP, n_seen: int) -> Segmenter:
            return super().build(encoder, decoder, n_seen)

    assert Plain().first_step() == FineTuning()
    assert Built().first_step() == Built()


def test_the_defaults_of_a_method(case: Callable[..., Case]) -> None:
    class Plain(Method):
        """Everything else by default."""

        def losses(self, batch: Batch) -> dict[str, Tensor]:
            return FineTuning().losses(batch)

    method, made = Plain(), case(2)
    presence = np.eye(N_IDS, dtype=bool)[:9]
    teacher = method.teacher(made.net, made.step)
    assert teacher is not None and not any(p.requires_grad for p in teacher.parameters()) and not teacher.training
    begun = method.begin_step(made.teacher, made.step)
    assert begun.classes == (6, 2)
    assert torch.equal(begun.classifier[1].weight[0], begun.classifier[0].weight[0])  # balanced
    assert method.images(made.step, presence, {}).indices.tolist() == [6, 7]
    (group,) = method.parameter_groups(made.net.freeze("encoder"), made.step)
    assert {id(p) for p in group["params"]} == {id(p) for p in made.net.parameters() if p.requires_grad}
    assert len(group["params"]) == len([*made.net.decoder.parameters(), *made.net.classifier.parameters()])
    assert method.prepare(StepContext(made.step)) is None
    assert method.regularizer(made.net, {}) is None
    assert method.end_step(made.net, StepContext(made.step)) == (made.net, {})
    logits = made.outputs()[0].logits
    assert torch.equal(method.predict(logits), logits.argmax(1))


# With a memory, whose images show old classes


softmax = [kind for name, kind in METHODS.items() if kind.allows_memory and name not in BINARY]
with_memory = pytest.mark.parametrize("kind", softmax)


@with_memory
def test_old_classes_of_memory_images_are_learnt(kind: type[Method], case: Callable) -> None:
    """The first term, the cross-entropy, raises the old class that such an image shows, and lowers the background."""
    method, old_class = kind(), 3
    made = case(2, method)
    made.target[:, 44:] = old_class
    teacher = made.teacher if method.teacher(made.teacher, made.step) is not None else None
    context = StepContext(made.step, teacher, lambda: [(made.image, made.target)], shows_old=True)
    prepared = method.prepare(context)
    out, old = made.outputs()
    terms = method.losses(Batch(out, old if teacher is not None else None, made.target, made.net, context, prepared))
    gradient = torch.autograd.grad(value_of(next(iter(terms.values()))), out.logits)[0]
    shown = made.target == old_class
    assert (gradient[:, old_class][shown] < 0).all() and (gradient[:, 0][shown] > 0).all()


def test_methods_with_a_memory_are_known() -> None:
    assert {"ft", "lwf", "mib", "plop"} <= {name for name, kind in METHODS.items() if kind.allows_memory}
    assert not METHODS["joint"].allows_memory
