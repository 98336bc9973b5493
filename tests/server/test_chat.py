"""The chat routes as a client of the source documents uses them."""

import asyncio

import pytest

from tests.serving import Running, parse_events, running, settings_for


async def test_seed_chat_creates_its_session(server: Running) -> None:
    body = {"session_id": "test1", "user": "viewer1", "message": "Hello AI!"}
    answer = (await server.http.post("/chat", json=body)).json()
    assert set(answer) == {"session_id", "reply", "message_id"}
    assert answer["session_id"] == "test1"
    assert answer["reply"].strip()
    history = (await server.http.get("/chat/sessions/test1")).json()["messages"]
    assert [(m["role"], m["text"]) for m in history] == [
        ("user", "Hello AI!"),
        ("assistant", answer["reply"]),
    ]
    assert history[1]["id"] == answer["message_id"]


async def test_start_then_stream(server: Running) -> None:
    started = (
        await server.http.post("/chat/start", json={"user_id": "u", "persona": "calm_coach"})
    ).json()
    assert started["persona"] == "calm_coach"
    body = {"session_id": started["session_id"], "message": "How's it going?"}
    response = await server.http.post("/chat/stream", json=body)
    run = response.headers["X-Run-Id"]
    assert response.headers["content-type"].startswith("text/event-stream")
    events = parse_events(response.text)
    assert [id for id, _ in events] == [f"{run}:{n + 1}" for n in range(len(events))]
    *tokens, (_, done) = events
    assert all(set(data) == {"token"} for _, data in tokens)
    assert len(tokens) >= 2
    assert done["done"] is True
    assert done["usage"]["output_tokens"] > 0
    history = (await server.http.get(f"/chat/sessions/{started['session_id']}")).json()
    assert history["messages"][-1]["text"] == "".join(data["token"] for _, data in tokens)
    assert history["messages"][-1]["id"] == done["message_id"]


async def test_unknown_persona_lists_those_there_are(server: Running) -> None:
    response = await server.http.post("/chat/start", json={"user_id": "u", "persona": "nobody"})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert "drill_sergeant" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/chat/stream", "/chat/message"])
async def test_unknown_session(server: Running, path: str) -> None:
    response = await server.http.post(path, json={"session_id": "nope", "message": "hi"})
    assert response.status_code == 404
    assert "/chat/start" in response.json()["detail"]


async def test_an_ended_session_takes_no_more(server: Running) -> None:
    session = await server.session()
    assert (await server.http.delete(f"/chat/sessions/{session}")).status_code == 204
    body = {"session_id": session, "message": "hi"}
    assert (await server.http.post("/chat/message", json=body)).status_code == 409


async def test_sessions_survive_a_restart(server: Running, tmp_path) -> None:
    session = await server.session()
    body = {"session_id": session, "message": "remember the lighthouse"}
    await server.http.post("/chat/message", json=body)
    server.process.should_exit = True
    await server.serving
    async with running(settings_for(tmp_path)) as again:
        history = (await again.http.get(f"/chat/sessions/{session}")).json()["messages"]
        assert history[0]["text"] == "remember the lighthouse"


async def test_a_lost_connection_resumes_without_loss_or_repeats(tmp_path) -> None:
    async with running(settings_for(tmp_path, brain__words_per_second=200)) as server:
        session = await server.session()
        body = {"session_id": session, "message": "tell me a joke please"}
        first = ""
        async with server.http.stream("POST", "/chat/stream", json=body) as response:
            run = response.headers["X-Run-Id"]
            async for text in response.aiter_text():
                first += text
                if first.count("\n\n") >= 2:
                    break
        seen = parse_events(first[: first.rindex("\n\n") + 2])
        last = seen[-1][0]
        rest = await server.http.get(f"/chat/runs/{run}", headers={"Last-Event-ID": last})
        events = seen + parse_events(rest.text)
        assert [id for id, _ in events] == [f"{run}:{n + 1}" for n in range(len(events))]
        text = "".join(data.get("token", "") for _, data in events)
        history = (await server.http.get(f"/chat/sessions/{session}")).json()["messages"]
        assert text == history[-1]["text"]
        assert history[-1]["status"] == "complete"
        whole = await server.http.get(f"/chat/runs/{run}?after=0")
        assert parse_events(whole.text) == events


async def test_an_expired_run_is_gone_with_its_text(tmp_path) -> None:
    async with running(settings_for(tmp_path, server__run_ttl=0)) as server:
        session = await server.session()
        body = {"session_id": session, "message": "hello"}
        response = await server.http.post("/chat/stream", json=body)
        run = response.headers["X-Run-Id"]
        gone = await server.http.get(f"/chat/runs/{run}")
        assert gone.status_code == 410
        history = (await server.http.get(f"/chat/sessions/{session}")).json()["messages"]
        assert gone.json()["reply"] == history[-1]["text"]
        assert (await server.http.get("/chat/runs/unknown")).status_code == 404


async def test_stop_from_a_second_connection(tmp_path) -> None:
    async with running(settings_for(tmp_path, brain__words_per_second=5)) as server:
        session = await server.session()
        body = {"session_id": session, "message": "tell me a joke"}
        async with server.http.stream("POST", "/chat/stream", json=body) as response:
            run = response.headers["X-Run-Id"]
            text = ""
            async for piece in response.aiter_text():
                if not text:
                    stopped = await server.http.post(f"/chat/runs/{run}/stop")
                    assert stopped.json() == {"stopped": True}
                text += piece
        *_, (_, done) = parse_events(text)
        assert done["done"] is True
        assert done["interrupted"] == "stopped"
        again = await server.http.post(f"/chat/runs/{run}/stop")
        assert again.json() == {"stopped": False}


@pytest.mark.parametrize("before_first_token", [True, False])
async def test_leaving_cancels_the_model_after_the_grace_time(
    tmp_path, before_first_token: bool
) -> None:
    pace = 0.5 if before_first_token else 5
    settings = settings_for(tmp_path, brain__words_per_second=pace, server__stream_grace=0.05)
    async with running(settings) as server:
        session = await server.session()
        body = {"session_id": session, "message": "tell me a joke"}
        async with server.http.stream("POST", "/chat/stream", json=body) as response:
            run_id = response.headers["X-Run-Id"]
            if not before_first_token:
                async for _ in response.aiter_text():
                    break
        run = server.application.services.turns.get(run_id)
        assert run is not None
        async with asyncio.timeout(5):
            reply = await run.result()
        assert reply.status == "abandoned"


async def test_silence_is_filled_with_pings(tmp_path) -> None:
    settings = settings_for(tmp_path, brain__words_per_second=1, server__ping_interval=0.05)
    async with running(settings) as server:
        session = await server.session()
        body = {"session_id": session, "message": "hi"}
        async with server.http.stream("POST", "/chat/stream", json=body) as response:
            async for text in response.aiter_text():
                if ": ping\n\n" in text:
                    break
            await server.http.post(f"/chat/runs/{response.headers['X-Run-Id']}/stop")


async def test_coach_is_stateless(server: Running) -> None:
    body = {"breath": {"rate_bpm": 32, "intensity": "high"}}
    answer = (await server.http.post("/coach", json=body)).json()
    assert set(answer) == {"message"}
    assert answer["message"].strip()


async def test_personas_are_saved_and_used(server: Running) -> None:
    names = [p["name"] for p in (await server.http.get("/personas")).json()["personas"]]
    assert names[:1] == ["default"]
    assert {"fitness_coach", "calm_coach", "drill_sergeant"} <= set(names)
    saved = await server.http.put("/personas/pirate", json={"system_prompt": "You are a pirate."})
    assert saved.json()["system_prompt"].strip() == "You are a pirate."
    assert await server.session(persona="pirate")
    bad = await server.http.put("/personas/..%2Fx", json={"system_prompt": "x"})
    assert bad.status_code in {404, 422}
