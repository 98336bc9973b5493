"""Watch the stage: every event of the streams as it happens, over lost connections too."""

import asyncio

from understudy.client import AsyncClient, Gap


async def main() -> None:
    async with AsyncClient("http://127.0.0.1:8000") as client:
        async for frame in client.live():
            if isinstance(frame, Gap):
                print(f"… {frame.missed} events missed")
                continue
            for event in frame.events:
                print(event["channel"], event["type"], event.get("text", ""))


if __name__ == "__main__":
    asyncio.run(main())
