"""What is given from outside: numbers of every kind are one number, pictures are read or refused with the remedy."""

import numpy as np
import pytest
import torch

from vartut.inputs import as_pictures, check_pictures, each, finite, whole, wholes

KINDS = [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), torch.tensor([3])]
NONE = [True, 1.5, 3.0, "3", None, np.float64(3), np.True_, torch.tensor(3.0), torch.tensor(True), torch.eye(2), [3]]
SEVERAL = [[0, 1, 2], (0, 1, 2), range(3), np.arange(3), torch.arange(3), iter([0, 1, 2]), [np.int8(0), 1, np.uint8(2)]]
NO_SEVERAL = ["012", b"012", {0, 1, 2}, {0: 1}, 3, torch.tensor(3), [1.7], [True], ["0"], np.ones(3), torch.ones(3) > 0]


def refusal(call, *given, **named) -> str:
    """The message of the ValueError that the call raises: one line."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the caller looks at the text)
        call(*given, **named)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250
    return str(error.value)


@pytest.mark.parametrize("value", KINDS, ids=repr)
def test_every_kind_of_integer_is_a_plain_int(value):
    number = whole(least=3, n=value)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", NONE, ids=repr)
def test_what_is_no_integer_is_refused_by_name(value):
    assert refusal(whole, n=value).startswith("n is a whole number; got ")
    assert "of at least 4; got 3" in refusal(whole, least=4, n=3)
    assert "from 0 to 2; got 3" in refusal(whole, least=0, most=2, n=3)


@pytest.mark.parametrize("values", SEVERAL, ids=lambda v: type(v).__name__)
def test_every_kind_of_sequence_is_plain_ints(values):
    numbers = wholes(least=0, rows=values)
    assert numbers == [0, 1, 2]
    assert all(type(number) is int for number in numbers)


@pytest.mark.parametrize("values", NO_SEVERAL, ids=repr)
def test_what_is_no_sequence_of_integers_is_refused_by_name(values):
    assert refusal(wholes, rows=values).startswith("rows")


def test_one_for_all_or_one_for_each():
    assert each(3, n=np.int64(2)) == [2, 2, 2]
    assert each(3, n=torch.tensor([2, 0, 1])) == [2, 0, 1]
    assert each(0, n=[]) == []
    assert "one for each of 3; got 2" in refusal(each, 3, n=[1, 2])
    assert "n[1] is a whole number of at least 0; got -1" in refusal(each, 2, least=0, n=[1, -1])
    assert refusal(each, 2, n="0").startswith("n is a whole number; got '0'")


def test_numbers_are_finite_and_within_bounds():
    for value in (0.5, np.float32(0.5), torch.tensor(0.5), np.array(0.5)):
        assert finite(0, 1, p=value) == 0.5
        assert type(finite(0, 1, p=value)) is float
    for value in (1, np.int64(1), torch.tensor(1)):
        assert type(finite(p=value)) is int
    for value in (float("nan"), float("inf"), "1", True, None, torch.ones(2), 1.5, -1):
        assert refusal(finite, 0, 1, p=value).startswith("p is a number from 0 to 1; got ")


# ---- pictures ------------------------------------------------------------------------------------------------------

PICTURE = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
BYTES = (PICTURE * 255).round().byte()
FORMS = {  # of the same two pictures
    "tensor": PICTURE, "float64": PICTURE.double(), "CHW": PICTURE[0], "HWC": PICTURE[0].permute(1, 2, 0),
    "uint8": BYTES, "numpy": PICTURE.numpy(), "numpy HWC": PICTURE.permute(0, 2, 3, 1).numpy(),
    "numpy uint8 HWC": BYTES[0].permute(1, 2, 0).numpy(), "thumbnails": [BYTES[0], BYTES[1]],
    "big-endian": PICTURE.numpy().astype(">f8"), "long double": PICTURE.numpy().astype(np.longdouble),
    "backwards": PICTURE.numpy()[:, :, ::-1, ::-1][:, :, ::-1, ::-1], "gradient": PICTURE.clone().requires_grad_(),
}  # fmt: skip
GREY = torch.full((2, 3, 16, 16), 0.5)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_picture_is_understood_for_drawing(form):
    found = as_pictures(FORMS[form], "show")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, PICTURE[: len(found)], atol=0.5 / 255 + 1e-6, rtol=0)
    assert not found.requires_grad
    found.zero_()
    assert as_pictures(FORMS[form], "show").max() > 0, "it is a copy"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PICTURE * 255, "divide by 255"),
        (PICTURE * 2 - 1, r"from \[-1, 1\] by / 2 \+ 0.5"),
        (PICTURE * torch.nan, "NaN"),
        (BYTES.long(), "torch.int64"),
        (PICTURE[:0], r"at least one; got \(0, 3, 8, 12\)"),
        (PICTURE[:, :2], r"got \(2, 2, 8, 12\)"),
        ([PICTURE[0], PICTURE[0, :, :4]], "all of one size"),
        ("picture.png", "got a str"),
        ([], "got a list"),
        (PICTURE.numpy() > 0, "got bool"),
    ],
)
def test_what_is_no_picture_is_not_drawn(images, message):
    with pytest.raises(ValueError, match=message) as error:
        as_pictures(images, "show")
    assert str(error.value).startswith("show takes pictures")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "images",
    [GREY.numpy(), GREY[0], GREY[0].numpy(), GREY.permute(0, 2, 3, 1), GREY.permute(0, 2, 3, 1).numpy()]
    + [GREY[0].permute(1, 2, 0).numpy(), (GREY[0].permute(1, 2, 0).numpy() * 254).astype("uint8")]
    + [(GREY.permute(0, 2, 3, 1) * 254).byte()],
    ids=lambda images: f"{type(images).__name__} {tuple(images.shape)}",
)
def test_the_remedy_in_the_refusal_is_one(images):
    code = refusal(check_pictures, images, "the judge").split("give ")[1]
    mended = eval(code, {"torch": torch, "images": images})
    check_pictures(mended, "the judge", side=16)
    torch.testing.assert_close(mended.float(), GREY[: len(mended)], atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((GREY * 254).byte(), "got torch.uint8: divide by 255"),
        (GREY > 0, "got torch.bool$"),
        (GREY * 1j, "got torch.complex64$"),
        (GREY * 255, "from 128 to 128: clamp or rescale"),
        (GREY * torch.nan, "NaN"),
        (GREY[..., :12], r"\(B, 3, 16, 16\); got \(2, 3, 16, 12\)"),
        (GREY[:, :1], r"got \(2, 1, 16, 16\)"),
        ("picture.png", "got str"),
        (None, "got NoneType"),
    ],
)
def test_what_a_model_cannot_read_is_refused(images, message):
    with pytest.raises(ValueError, match=message) as error:
        check_pictures(images, "the judge", side=16)
    assert "\n" not in str(error.value)
    assert "the judge" in str(error.value)


def test_what_a_model_reads_passes():
    for images in (GREY, GREY[:0], GREY.half(), GREY.double(), GREY * 0, GREY * 2 + 5e-4):
        check_pictures(images, "the judge", side=16)
    check_pictures(GREY[..., :12], "the judge")
    with pytest.raises(ValueError, match="square"):
        check_pictures(GREY[..., :12], "the judge", square=True)
    with pytest.raises(ValueError, match="at least 8"):
        check_pictures(GREY[..., :4], "the judge")
