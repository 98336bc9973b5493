import asyncio
import contextlib
from pathlib import Path

import pytest

from understudy.engine.personas import (
    MAX_FILE_BYTES,
    Persona,
    PersonaError,
    PersonaNotFound,
    Personas,
    read_persona,
)

BUILT_IN = ["default", "calm_coach", "drill_sergeant", "fitness_coach"]


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("default", "You are a helpful AI assistant"),
        ("fitness_coach", "Use CAPS for intensity"),
        ("calm_coach", "Focus on breath and mindfulness"),
        ("drill_sergeant", "No excuses accepted"),
    ],
)
def test_the_built_in_personas_are_as_promised(name: str, words: str) -> None:
    persona = Personas(None).get(name)
    assert words in persona.system_prompt
    assert "Stay in this role" in persona.system_prompt
    assert persona.title
    assert persona.source == "built-in"
    assert f"[{persona.emotions[0]}]" in persona.prompt
    assert persona.prompt.startswith(persona.system_prompt.strip())


def test_a_persona_without_emotions_is_not_told_of_tags() -> None:
    persona = Persona(name="plain", system_prompt=" Be plain.\n")
    assert persona.prompt == "Be plain."


def test_default_comes_first_and_an_unknown_name_lists_the_known() -> None:
    personas = Personas(None)
    assert personas.names() == BUILT_IN
    assert [persona.name for persona in personas.all()] == BUILT_IN
    with pytest.raises(PersonaNotFound, match="default, calm_coach, drill_sergeant, fitness_coach"):
        personas.get("../../etc/passwd")


def test_files_add_personas_and_override_built_in_ones(tmp_path: Path) -> None:
    write(tmp_path, "pirate.yaml", "system_prompt: Arr.\nemotions: [happy]\ntitle: Pirate\n")
    write(tmp_path, "mine.yml", "name: default\nsystem_prompt: Mine.\n")
    write(tmp_path, ".hidden.yaml", "nonsense: [")
    write(tmp_path, "notes.txt", "not a persona")
    personas = Personas(tmp_path)
    assert personas.names() == [*BUILT_IN, "pirate"]
    assert personas.get("pirate").title == "Pirate"
    assert personas.get("pirate").source == str(tmp_path / "pirate.yaml")
    assert personas.get("default").system_prompt == "Mine."
    assert personas.problems == {}


def test_a_directory_that_is_not_there_is_no_problem(tmp_path: Path) -> None:
    personas = Personas(tmp_path / "later")
    assert personas.names() == BUILT_IN
    assert personas.problems == {}


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nsystem_prompt: *b\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"system_prompt: [1", "not valid YAML in line 1"),
        (b"system_prompt: 5", "system_prompt: Expected str, got int"),
        (b"system_prompt: a\nemotions: happy", "emotions: Expected array"),
        (b"system_prompt: a\nemotions: [1]", "Expected str, got int"),
        (b"system_prompt: a\nemotions: ['SO HAPPY']", "'SO HAPPY' cannot be an emotion"),
        (b"system_prompt: a\nvoice: b", "unknown field voice"),
        (b"system_prompt: a\nsystem_prompt: b", "system_prompt is written twice"),
        (b"title: a", "required field system_prompt"),
        (b"system_prompt: '  '", "system_prompt is empty"),
        (b"- a\n- b", "holds no fields"),
        (b"", "holds no fields"),
        (b"system_prompt: caf\xe9", "not UTF-8 (byte 19)"),
        (b"system_prompt: " + b"x" * MAX_FILE_BYTES, "larger than 64 KiB"),
        (b"system_prompt: a\nname: ../../x", "'../../x' cannot be a persona's name"),
        (b"system_prompt: a\nname: A B", "cannot be a persona's name"),
        (BOMB.encode(), "anchor or alias in line 1"),
        (b"[" * 60_000, "too many lists in each other"),
        (b"title: 2026-99-99\nsystem_prompt: a", "not valid YAML"),
        (b"system_prompt: a\x00b", "not valid YAML"),
        (b"!!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_a_bad_file_is_named_and_its_last_good_version_stays(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = write(tmp_path, "guest.yaml", "system_prompt: Good.\n")
    personas = Personas(tmp_path)
    path.write_bytes(content)
    personas.reload()
    assert problem in personas.problems["guest.yaml"]
    assert "\n" not in personas.problems["guest.yaml"]
    assert personas.get("guest").system_prompt == "Good."
    path.write_text("system_prompt: Better.")
    personas.reload()
    assert personas.problems == {}
    assert personas.get("guest").system_prompt == "Better."


def test_a_file_that_was_never_good_gives_no_persona(tmp_path: Path) -> None:
    write(tmp_path, "Bad Name.yaml", "system_prompt: fine\n")
    personas = Personas(tmp_path)
    assert personas.names() == BUILT_IN
    assert "'Bad Name' cannot be a persona's name" in personas.problems["Bad Name.yaml"]


def test_a_removed_file_takes_its_persona_along(tmp_path: Path) -> None:
    path = write(tmp_path, "default.yaml", "system_prompt: Mine.\n")
    personas = Personas(tmp_path)
    path.unlink()
    personas.reload()
    assert personas.get("default").source == "built-in"


def test_of_two_files_with_one_name_the_first_stands(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "name: guest\nsystem_prompt: A.\n")
    write(tmp_path, "b.yaml", "name: guest\nsystem_prompt: B.\n")
    personas = Personas(tmp_path)
    assert personas.get("guest").system_prompt == "A."
    assert "already given in a.yaml" in personas.problems["b.yaml"]


def test_links_out_of_the_directory_and_odd_files_are_refused(tmp_path: Path) -> None:
    directory = tmp_path / "personas"
    directory.mkdir()
    secret = write(tmp_path, "secret.yaml", "system_prompt: secret\n")
    (directory / "link.yaml").symlink_to(secret)
    (directory / "loop.yaml").symlink_to(directory / "loop.yaml")
    (directory / "gone.yaml").symlink_to(directory / "nowhere.yaml")
    (directory / "folder.yaml").mkdir()
    personas = Personas(directory)
    assert personas.names() == BUILT_IN
    assert "leads out of" in personas.problems["link.yaml"]
    assert "cannot be read" in personas.problems["loop.yaml"]
    assert "No such file" in personas.problems["gone.yaml"]
    assert "not a regular file" in personas.problems["folder.yaml"]


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    personas = Personas(tmp_path / "personas")
    persona = Persona(
        name="guest",
        system_prompt="Line: one\n- two # three\n\nfür alle 😀",
        title="No",
        description="'quoted'",
        emotions=["happy"],
    )
    saved = personas.save(persona)
    path = tmp_path / "personas" / "guest.yaml"
    assert saved == Persona(
        name="guest",
        system_prompt=persona.system_prompt,
        title="No",
        description="'quoted'",
        emotions=["happy"],
        source=str(path),
    )
    assert "system_prompt: |-\n" in path.read_text("utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["guest.yaml"]
    personas.save(Persona(name="guest", system_prompt="New."))
    assert read_persona(path).system_prompt == "New."


def test_saving_a_built_in_persona_overrides_it_by_a_file(tmp_path: Path) -> None:
    personas = Personas(tmp_path)
    personas.save(Persona(name="default", system_prompt="Mine."))
    assert Personas(tmp_path).get("default").system_prompt == "Mine."


@pytest.mark.parametrize(
    ("persona", "problem"),
    [
        (Persona(name="../x", system_prompt="a"), "cannot be a persona's name"),
        (Persona(name="", system_prompt="a"), "cannot be a persona's name"),
        (Persona(name="x", system_prompt=" "), "system_prompt is empty"),
        (Persona(name="x", system_prompt="a" * MAX_FILE_BYTES), "larger than"),
        (Persona(name="x", system_prompt="a", emotions=["[x]"]), "cannot be an emotion"),
    ],
)
def test_a_persona_that_is_not_valid_is_not_saved(
    tmp_path: Path, persona: Persona, problem: str
) -> None:
    with pytest.raises(PersonaError, match=problem):
        Personas(tmp_path).save(persona)
    assert list(tmp_path.iterdir()) == []


def test_saving_never_destroys_what_a_person_wrote(tmp_path: Path) -> None:
    write(tmp_path, "broken.yaml", "system_prompt: [half done")
    write(tmp_path, "guest.yaml", "name: other\nsystem_prompt: Other.\n")
    personas = Personas(tmp_path)
    with pytest.raises(PersonaError, match="has a mistake, and saving would lose"):
        personas.save(Persona(name="broken", system_prompt="a"))
    with pytest.raises(PersonaError, match="holds another persona"):
        personas.save(Persona(name="guest", system_prompt="a"))
    (tmp_path / "broken.yaml").unlink()
    assert personas.save(Persona(name="broken", system_prompt="a")).system_prompt == "a"


def test_saving_says_why_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(PersonaError, match="no personas directory"):
        Personas(None).save(Persona(name="x", system_prompt="a"))
    blocked = write(tmp_path, "file", "in the way") / "personas"
    with pytest.raises(PersonaError, match="cannot be written"):
        Personas(blocked).save(Persona(name="x", system_prompt="a"))


async def test_a_saved_file_is_read_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "personas"
    personas = Personas(directory)
    reloaded = asyncio.Event()

    async def until_reloaded(content: str) -> None:
        reloaded.clear()
        write(directory, "guest.yaml", content)
        async with asyncio.timeout(30):
            await reloaded.wait()

    watching = asyncio.create_task(personas.watch(reloaded.set))
    try:
        await reloaded.wait()
        await until_reloaded("system_prompt: Hello.\n")
        assert personas.get("guest").system_prompt == "Hello."
        await until_reloaded("system_prompt: [")
        assert "guest.yaml" in personas.problems
        assert personas.get("guest").system_prompt == "Hello."
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def test_without_a_directory_there_is_nothing_to_watch() -> None:
    await Personas(None).watch()
