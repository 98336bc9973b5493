"""Talk to a persona: `python examples/python/chat.py [persona]`. Ctrl-C stops an answer."""

import sys

from understudy.client import Client, Done, Failed, Token


def main() -> None:
    persona = sys.argv[1] if len(sys.argv) > 1 else None
    with Client("http://127.0.0.1:8000") as client:
        session = client.start("example", persona)
        print(f"You talk to {session.persona}. An empty line ends it.")
        while question := input("> "):
            answer(client, session.session_id, question)


def answer(client: Client, session_id: str, question: str) -> None:
    stream = client.stream(session_id, question)
    try:
        for event in stream:
            match event:
                case Token(text):
                    print(text, end="", flush=True)
                case Done(interrupted=reason):
                    print(f" ({reason})" if reason else "")
                case Failed(error):
                    print(f"\n{error}")
    except KeyboardInterrupt:
        stream.stop()
        print(" …")


if __name__ == "__main__":
    main()
