"""Every method with a transformer: pairs of choices that together hold every pair of encoder, decoder and frozen."""

import tiny_encoders  # noqa: F401  (timm knows them then)

ENCODERS = ("test_vit", "tiny_swin", "tiny_pvt", "tiny_dinov2")
DECODERS = ("aspp", "linear", "pyramid")
CASES = (
    ("ft", "test_vit", "linear", True),
    ("lwf", "tiny_swin", "pyramid", False),
    ("lwf-mc", "tiny_pvt", "aspp", True),
    ("ilt", "tiny_dinov2", "linear", False),
    ("ewc", "tiny_swin", "linear", False),
    ("rw", "test_vit", "pyramid", False),
    ("pi", "tiny_dinov2", "pyramid", True),
    ("mib", "tiny_pvt", "linear", True),
    ("plop", "tiny_swin", "aspp", False),
    ("ewf", "tiny_pvt", "pyramid", False),
    ("ewf-mib", "test_vit", "linear", False),
    ("reminder", "tiny_dinov2", "aspp", False),
    ("ucd", "tiny_swin", "pyramid", True),
    ("alife", "tiny_pvt", "linear", False),
    ("dft", "tiny_dinov2", "linear", True),
    ("ssul", "test_vit", "aspp", False),
    ("dkd", "tiny_swin", "aspp", True),
    ("star", "tiny_pvt", "aspp", False),
    ("prototypes", "tiny_dinov2", "aspp", False),
    ("ssul-m", "tiny_swin", "aspp", False),
    ("dkd-m", "tiny_dinov2", "aspp", False),
    ("star-m", "test_vit", "aspp", True),
    ("joint", "tiny_pvt", "pyramid", False),
)
"""Method, encoder, decoder, frozen."""
