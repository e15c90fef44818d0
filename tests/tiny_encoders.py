"""Transformers of the families that timm has no tiny ones of, for runs in a second; importing makes them known.

timm's own `test_vit` is as small.
"""

from typing import Any

from plopkit.model.encoders import timm

__all__: list[str] = []  # timm adds to it


@timm.models.register_model
def tiny_swin(pretrained: bool = False, **options: Any) -> Any:
    """Windows of 7 patches, shifted in every other block; channels last; strides 4 to 32."""
    shape = {"embed_dim": 16, "depths": (1, 2, 1, 1), "num_heads": (1, 2, 2, 4)}
    return timm.create_model("swin_tiny_patch4_window7_224", pretrained, **shape, **options)


@timm.models.register_model
def tiny_pvt(pretrained: bool = False, **options: Any) -> Any:
    """Attention to fewer keys than queries; channels first; strides 4 to 32."""
    shape = {"embed_dims": (8, 16, 16, 32), "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2)}
    return timm.create_model("pvt_v2_b0", pretrained, **shape, **options)


@timm.models.register_model
def tiny_dinov2(pretrained: bool = False, **options: Any) -> Any:
    """Patches of 14 pixels, to whose multiples images are resized; scaled layers and four registers."""
    shape = {"embed_dim": 32, "depth": 4, "num_heads": 2}
    return timm.create_model("vit_small_patch14_reg4_dinov2", pretrained, **shape, **options)


@timm.models.register_model
def tiny_cait(pretrained: bool = False, **options: Any) -> Any:
    """Of images of 224 x 224 pixels only, as BEiT and others."""
    shape = {"embed_dim": 16, "depth": 4, "num_heads": 2}
    return timm.create_model("cait_xxs24_224", pretrained, **shape, **options)
