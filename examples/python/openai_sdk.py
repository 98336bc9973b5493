"""The official OpenAI SDK talks to a persona unchanged: only the address is another one."""

from openai import OpenAI


def main() -> None:
    # Any key will do on this machine; elsewhere it is a token from `understudy token`.
    client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="unused")
    stream = client.chat.completions.create(
        model="fitness_coach",
        messages=[{"role": "user", "content": "Three more minutes. Say something!"}],
        stream=True,
    )
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
