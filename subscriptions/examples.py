"""The only place for ready-made calls: what to copy to use a model through LiteLLM with curl, Python and JavaScript."""

import json
import shlex
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext as _

from subscriptions.models import Model

NOWHERE: Final = "https://litellm.example"  # stands where no address of LiteLLM is configured
PROMPT: Final = "Say hello in one sentence."
CHAT: Final = "chat"
TRANSCRIPTION: Final = "audio_transcription"
SPEECH: Final = "audio_speech"
RECORDING: Final = "speech.mp3"
# Mode of LiteLLM -> the path and the body of the call, besides the model.
CALLS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    CHAT: ("chat/completions", {"messages": [{"role": "user", "content": PROMPT}]}),
    "completion": ("completions", {"prompt": PROMPT, "max_tokens": 50}),
    "responses": ("responses", {"input": PROMPT}),
    "embedding": ("embeddings", {"input": ["The quick brown fox"]}),
    "image_generation": ("images/generations", {"prompt": "A lighthouse at dusk"}),
    TRANSCRIPTION: ("audio/transcriptions", {}),
    SPEECH: ("audio/speech", {"voice": "alloy", "input": "Hello from LiteMaaS."}),
    "moderation": ("moderations", {"input": "Is this harmless?"}),
    "rerank": ("rerank", {"query": "capital of France", "documents": ["Paris", "Lyon"]}),
}
# The same calls by the names of OpenAI's libraries, and what to look at in the answer.
PYTHON: Final = {
    CHAT: ("chat.completions.create", "choices[0].message.content"),
    "completion": ("completions.create", "choices[0].text"),
    "responses": ("responses.create", "output_text"),
    "embedding": ("embeddings.create", "data[0].embedding[:5]"),
    "image_generation": ("images.generate", "data[0]"),
    TRANSCRIPTION: ("audio.transcriptions.create", "text"),
    SPEECH: ("audio.speech.create", ""),
    "moderation": ("moderations.create", "results[0].flagged"),
}
JAVASCRIPT: Final = PYTHON | {
    "embedding": ("embeddings.create", "data[0].embedding.slice(0, 5)"),
}


@dataclass(frozen=True)
class Example:
    """One call to copy; ``secret`` is in ``code``, so it is not printed."""

    name: str
    label: str
    code: str


def base_url() -> str:
    """What OpenAI's libraries want as their base address."""
    return f"{settings.LITELLM_PUBLIC_URL or NOWHERE}/v1"


def examples_for(model: Model, secret: str) -> list[Example]:
    """Calls that fit the model's mode; where the libraries have no such call only curl, for unknown modes none."""
    mode = model.mode or CHAT
    if mode not in CALLS:
        return []
    found = [Example("curl", "curl", _curl(mode, model.id, secret))]
    if mode in PYTHON:
        found.append(Example("python", "Python", _python(mode, model.id, secret)))
        found.append(Example("javascript", "JavaScript", _javascript(mode, model.id, secret)))
    return found


def _curl(mode: str, model: str, secret: str) -> str:
    path, body = CALLS[mode]
    lines = [f"curl {shlex.quote(f'{base_url()}/{path}')}", f'-H "Authorization: Bearer {secret}"']
    if mode == TRANSCRIPTION:
        lines += [f"--form-string {shlex.quote(f'model={model}')}", f"-F file=@{RECORDING}"]
    else:
        text = json.dumps({"model": model, **body}, indent=2, ensure_ascii=False)
        # In line with the options; JSON has no line breaks in its strings.
        lines += ['-H "Content-Type: application/json"', f"-d {shlex.quote(text.replace(chr(10), chr(10) + '  '))}"]
    if mode == SPEECH:
        lines.append(f"--output {RECORDING}")
    return " \\\n  ".join(lines)


def _python(mode: str, model: str, secret: str) -> str:
    call, answer = PYTHON[mode]
    arguments = {name: _literal(value) for name, value in {"model": model, **CALLS[mode][1]}.items()}
    if mode == TRANSCRIPTION:
        arguments["file"] = f'open("{RECORDING}", "rb")'
    lines = "".join(f"    {name}={value},\n" for name, value in arguments.items())
    show = f'answer.write_to_file("{RECORDING}")' if mode == SPEECH else f"print(answer.{answer})"
    return (
        f"# {_('pip install openai')}\n"
        "from openai import OpenAI\n\n"
        f"client = OpenAI(base_url={_literal(base_url())}, api_key={_literal(secret)})\n"
        f"answer = client.{call}(\n{lines})\n"
        f"{show}"
    )


def _javascript(mode: str, model: str, secret: str) -> str:
    call, answer = JAVASCRIPT[mode]
    arguments = {name: _literal(value) for name, value in {"model": model, **CALLS[mode][1]}.items()}
    needed = 'import fs from "node:fs";\n' if mode in {TRANSCRIPTION, SPEECH} else ""
    if mode == TRANSCRIPTION:
        arguments["file"] = f'fs.createReadStream("{RECORDING}")'
    lines = "".join(f"  {name}: {value},\n" for name, value in arguments.items())
    written = f'fs.writeFileSync("{RECORDING}", Buffer.from(await answer.arrayBuffer()));'
    show = written if mode == SPEECH else f"console.log(answer.{answer});"
    return (
        f"// {_('npm install openai')}\n"
        f"{needed}"
        'import OpenAI from "openai";\n\n'
        f"const client = new OpenAI({{ baseURL: {_literal(base_url())}, apiKey: {_literal(secret)} }});\n"
        f"const answer = await client.{call}({{\n{lines}}});\n"
        f"{show}"
    )


def _literal(value: Any) -> str:
    """A value as both languages write it; strings, numbers and lists of them look the same in JSON."""
    return json.dumps(value, ensure_ascii=False)
