"""Fine-tuning at OpenAI: a file of examples is handed over and a job on it is started.

Owns the two requests, through the official SDK. Does not own what is in the file, nor the job: it
goes on at OpenAI, which tells the name of the model when it is done.
"""

import msgspec

from understudy.brains.base import BrainError
from understudy.brains.failures import Failures, public_url
from understudy.brains.openai import OPENAI_URL, normal_url

SECONDS = 120.0
"""Longest wait for the answer to a request, the upload included."""


class FineTuningJob(msgspec.Struct, frozen=True):
    """A job that was started, by the names that OpenAI knows it under."""

    id: str
    file: str
    base: str
    status: str


async def start_fine_tuning(
    data: bytes, base: str, *, api_key: str, base_url: str = "", suffix: str = ""
) -> FineTuningJob:
    """Upload `data` and start a job that fine-tunes the model `base` on it.

    `data` is JSON lines of `{"messages": […]}`, `suffix` becomes a part of the new
    model's name. Raises `BrainError`.
    """
    try:
        import openai
    except ImportError:
        raise BrainError(
            "fine-tuning needs OpenAI's package: pip install 'understudy[openai]'"
        ) from None
    url = normal_url(base_url) if base_url else OPENAI_URL
    title = f"the model server at {public_url(url)}" if base_url else "OpenAI"
    failures = Failures(
        title, base, "brain.openai_api_key", url, secret=api_key, local=bool(base_url)
    )
    try:
        # Not tried again by itself: a second job would be paid for too.
        async with openai.AsyncOpenAI(
            api_key=api_key, base_url=url, max_retries=0, timeout=SECONDS
        ) as client:
            file = await client.files.create(file=("mood.jsonl", data), purpose="fine-tune")
            job = await client.fine_tuning.jobs.create(
                training_file=file.id, model=base, suffix=suffix or openai.omit
            )
    except openai.APIStatusError as error:
        response = error.response
        raise failures.rejected(response.status_code, response.headers, response.content) from None
    except openai.APITimeoutError:
        raise failures.silent(SECONDS) from None
    except openai.APIConnectionError:
        raise failures.unreachable() from None
    except openai.OpenAIError:
        raise failures.unreadable() from None
    return FineTuningJob(job.id, file.id, job.model, job.status)
