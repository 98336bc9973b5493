"""The tokens that the model server of the relay benchmark says."""


def word(number: int) -> str:
    """A token, each another one; of letters, as most words are."""
    return " word" + "".join("abcdefghij"[int(digit)] for digit in str(number))
