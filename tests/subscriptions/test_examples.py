"""The calls to copy really run: curl and Python against the emulator, JavaScript through its own parser."""

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from litellm_sync.emulator.server import Emulator
from subscriptions.examples import CALLS, PYTHON, Example, examples_for
from subscriptions.models import Model
from tests.cast import MASTER_KEY

CURL, NODE = shutil.which("curl"), shutil.which("node")
# What the emulator knows of the modes, with a model that it has.
ANSWERED = {"chat": "gpt-4o", "completion": "gpt-4o", "responses": "gpt-4o", "embedding": "text-embedding-3-small"}
# Names of which the model of a call has to arrive as it is, whatever a shell or a language makes of such characters.
ODD = ["azure/gpt-4o:2024@eu", 'it\'s "$(id)" `id` \\n', "-d @x;type=y", "é ü", "<b>&amp;"]


def written(mode: str, model: str = "gpt-4o") -> dict[str, Example]:
    """The examples by name."""
    return {one.name: one for one in examples_for(Model(id=model, mode=mode), MASTER_KEY)}


def attribute(data: Any) -> Any:
    """JSON as objects with attributes, as the library answers."""
    return json.loads(json.dumps(data), object_hook=lambda found: SimpleNamespace(**found))


class Call:
    """``client.chat.completions.create``, step by step; calling it sends what OpenAI's library would send."""

    def __init__(self, client: "OpenAI", path: tuple[str, ...] = ()) -> None:
        self.client, self.path = client, path

    def __getattr__(self, name: str) -> "Call":
        return Call(self.client, (*self.path, name))

    def __call__(self, **arguments: Any) -> Any:
        (mode,) = (mode for mode, (call, _answer) in PYTHON.items() if call == ".".join(self.path))
        headers = {"Authorization": f"Bearer {self.client.api_key}"}
        url = f"{self.client.base_url}/{CALLS[mode][0]}"
        response = requests.post(url, json=arguments, headers=headers, timeout=10)
        response.raise_for_status()
        answer = attribute(response.json())
        if mode == "responses":
            answer.output_text = answer.output[0].content[0].text
        return answer


class OpenAI(Call):
    """The part of OpenAI's library that the examples use."""

    def __init__(self, *, base_url: str, api_key: str) -> None:
        super().__init__(self)
        self.base_url, self.api_key = base_url, api_key


@pytest.mark.parametrize("mode", CALLS)
def test_every_mode_has_curl_and_what_the_libraries_can(mode: str) -> None:
    found = written(mode, "some/model")
    assert list(found) == (["curl"] if mode == "rerank" else ["curl", "python", "javascript"])
    for one in found.values():
        assert "some/model" in one.code
        assert MASTER_KEY in one.code
        assert "https://litellm.example/v1" in one.code


def test_models_without_a_mode_chat_and_unknown_modes_have_no_call() -> None:
    assert "/chat/completions" in written("")["curl"].code
    assert written("prophecy") == {}


@pytest.mark.skipif(CURL is None, reason="there is no curl here")
@pytest.mark.parametrize(("mode", "model"), ANSWERED.items())
def test_curl_gets_an_answer(mode: str, model: str, litellm: Emulator, tmp_path: Path) -> None:
    code = written(mode, model)["curl"].code.replace("curl ", "curl -sS --fail ", 1)
    done = subprocess.run(
        ["/bin/sh", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=30
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["model"] == model
    assert answer.get("choices") or answer.get("data") or answer.get("output")


@pytest.mark.parametrize(("mode", "model"), ANSWERED.items())
def test_python_gets_an_answer(
    mode: str, model: str, litellm: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", SimpleNamespace(OpenAI=OpenAI))
    exec(compile(written(mode, model)["python"].code, "example.py", "exec"), {})  # noqa: S102 -- our own text
    expected = "[0.1, 0.2, 0.3, 0.4]" if mode == "embedding" else "Hello from the mocked gpt-4o."
    assert capsys.readouterr().out.strip() == expected


@pytest.mark.parametrize("mode", PYTHON)
@pytest.mark.parametrize("model", ODD)
def test_python_is_well_formed_and_names_the_model_as_it_is(
    mode: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}

    class Recorder(OpenAI):
        def __getattr__(self, name: str) -> Any:
            return self

        def __getitem__(self, place: Any) -> Any:
            return self

        def __call__(self, *_args: Any, **arguments: Any) -> Any:
            sent.update(arguments)
            return self

    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech.mp3").write_bytes(b"sound")
    monkeypatch.setitem(__import__("sys").modules, "openai", SimpleNamespace(OpenAI=Recorder))
    namespace: dict[str, Any] = {}
    exec(compile(written(mode, model)["python"].code, "example.py", "exec"), namespace)  # noqa: S102 -- our own text
    assert sent["model"] == model
    if "file" in sent:
        assert sent["file"].read() == b"sound"
        sent["file"].close()


@pytest.mark.parametrize("mode", CALLS)
@pytest.mark.parametrize("model", ODD)
def test_the_shell_hands_the_model_on_as_it_is(mode: str, model: str, tmp_path: Path) -> None:
    script = tmp_path / "curl"
    script.write_text('#!/bin/sh\nfor one in "$@"; do printf "%s\\0" "$one"; done\n')
    script.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    code = written(mode, model)["curl"].code
    done = subprocess.run(["/bin/sh", "-c", code], capture_output=True, text=True, check=True, env=path, timeout=30)
    arguments = done.stdout.split("\0")
    if mode == "audio_transcription":
        assert arguments[arguments.index("--form-string") + 1] == f"model={model}"
    else:
        assert json.loads(arguments[arguments.index("-d") + 1])["model"] == model


@pytest.mark.skipif(NODE is None, reason="there is no node here")
def test_javascript_is_well_formed(tmp_path: Path) -> None:
    paths = []
    for mode in PYTHON:
        for number, model in enumerate(ODD):
            paths.append(tmp_path / f"{mode}{number}.mjs")
            paths[-1].write_text(written(mode, model)["javascript"].code)
    for path in paths[:: len(ODD)] + paths[1 : len(ODD)]:
        done = subprocess.run(
            [str(NODE), "--check", str(path)], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
