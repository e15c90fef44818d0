"""plopkit's ABN against inplace-abn, where that package is installed (`make iabn`)."""

import pytest
import torch
from required import inplace_abn

from plopkit.model.abn import ABN


@pytest.mark.filterwarnings("default")
def test_half_precision_passes_through_the_package() -> None:
    inplace_abn()
    from plopkit.model.iabn import InPlace

    module, image = InPlace(4), torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    full, half = module(image.clone()), module(image.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, rtol=2e-2, atol=2e-2)
    half.float().square().sum().backward()
    assert module.weight.grad is not None and module.weight.grad.isfinite().all()


@pytest.mark.filterwarnings("default")  # the package's own imports
@pytest.mark.parametrize("activation", ["leaky_relu", "identity"])
def test_abn_equals_inplace_abn(activation):
    own, reference = ABN(6, activation), inplace_abn().InPlaceABN(6, activation=activation, activation_param=0.01)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        own.weight.copy_(torch.randn(6, generator=generator))  # of both signs: ABN takes the absolute value
        own.bias.copy_(torch.randn(6, generator=generator))
    state = {name: tensor for name, tensor in own.state_dict().items() if name != "num_batches_tracked"}
    reference.load_state_dict(state)
    image = torch.randn(4, 6, 5, 7, generator=generator)
    results = []
    for module in (own, reference):
        x = image.clone().requires_grad_()
        trained = module(x.clone())  # a clone: inplace-abn overwrites its input
        (trained * torch.linspace(-1, 1, trained.numel()).view_as(trained)).sum().backward()
        evaluated = module.eval()(image.clone()).detach()
        results.append([trained.detach(), evaluated, x.grad, module.bias.grad, module.running_mean, module.running_var])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(own.weight.grad, reference.weight.grad, rtol=1e-4, atol=1e-4)
