import pytest

from understudy.brains.failures import Failures, ProviderError, public_url, read_error

KEY = "sk-test-0123456789"


@pytest.fixture
def failures() -> Failures:
    return Failures("the server", "m", "brain.api_key", "http://h/v1", secret=KEY, local=True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"error": {"message": "No.", "type": "t", "param": null, "code": "c"}}',
            ProviderError("No.", "t c"),
        ),
        (b'{"error": {"message": "No.", "code": 400}}', ProviderError("No.")),
        (b'{"type": "error", "error": {"type": "t", "message": "No."}}', ProviderError("No.", "t")),
        (b'{"error": "No."}', ProviderError("No.")),
        (b'{"object": "error", "message": "No.", "type": "t"}', ProviderError("No.", "t")),
        (b'{"detail": "No."}', ProviderError("No.")),
        (b'{"detail": [{"loc": ["body"]}]}', ProviderError()),
        (b'{"error": null}', ProviderError()),
        (b"[]", ProviderError()),
        (b"<html>", ProviderError()),
        (b"\xff\xfe", ProviderError()),
        (b"", ProviderError()),
    ],
)
def test_errors_are_read_in_every_shape(body: bytes, error: ProviderError) -> None:
    assert read_error(body) == error


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens.",
        "the request exceeds the available context size, try increasing it",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 200100 > 200000",
        "Trying to keep the first 9001 tokens when context the overflows.",
    ],
)
def test_too_long_is_known_in_the_words_of_every_server(failures: Failures, message: str) -> None:
    error = failures.reported({"error": message})
    assert error.kind == "context_too_long"
    assert not error.retryable


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('model "llama9" not found, try pulling it first', "unknown_model"),
        ("The model `x` does not exist.", "unknown_model"),
        ("Request too large for gpt-x on tokens per min (TPM)", "refused"),
    ],
)
def test_a_refusal_is_told_by_its_words(failures: Failures, message: str, kind: str) -> None:
    body = b'{"error": {"message": "%b"}}' % message.replace('"', "'").encode()
    assert failures.rejected(400, {}, body).kind == kind


def test_what_the_server_says_is_told_shortly_and_without_keys(failures: Failures) -> None:
    said = f"Bad\nthing {KEY} and nvapi-ABCDEFGHIJ. " + "x" * 999
    text = str(failures.rejected(400, {}, b'{"error": "%b"}' % said.replace("\n", "\\n").encode()))
    assert "(Bad thing … and … xxx" in text
    assert len(text) < 350
    assert "\n" not in text


def test_a_redirect_names_the_setting(failures: Failures) -> None:
    error = failures.rejected(308, {}, b"")
    assert error.kind == "refused"
    assert "(status 308): check brain.model and brain.base_url" in str(error)


def test_payment_required_is_no_matter_of_time(failures: Failures) -> None:
    error = failures.rejected(402, {}, b"")
    assert (error.kind, error.retryable) == ("unauthorized", False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://joe:pa@ss@host:81/v1?key=1#x", "http://host:81/v1"),
        ("https://host", "https://host"),
    ],
)
def test_only_the_place_of_a_url_is_shown(url: str, shown: str) -> None:
    assert public_url(url) == shown
