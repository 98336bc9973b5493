"""The relay everybody writes first: FastAPI, OpenAI's SDK, and nothing else.

No tokens of its own, no limits, no history, no filter, nothing stored, nothing to resume.
"""

import argparse
from collections.abc import AsyncIterator

import msgspec
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI


def create_app(upstream: str) -> FastAPI:
    app = FastAPI()
    client = AsyncOpenAI(api_key="sk-bench", base_url=upstream)

    @app.post("/v1/chat/completions")
    async def answer(request: Request) -> StreamingResponse:
        body = await request.json()

        async def events() -> AsyncIterator[bytes]:
            stream = await client.chat.completions.create(
                model=body["model"], messages=body["messages"], stream=True
            )
            async for chunk in stream:
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    yield b"data: %b\n\n" % msgspec.json.encode({"token": text})
            yield b'data: {"done": true}\n\n'

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    given = parser.parse_args()
    uvicorn.run(create_app(given.upstream), port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
