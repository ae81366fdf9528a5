"""Every text that people see can be translated, and is: nothing in the sources is missing from a catalogue."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from babel.messages import Catalog
from babel.messages.pofile import read_po
from django.conf import settings
from django.template.base import Lexer, Token, TokenType

from litemaas.foundation import errors
from litemaas.management.commands.messages import compile_catalogue, is_finished
from tests.guards.source import PACKAGES, ROOT, Module, product, templates

LOCALE = ROOT / "litemaas/locale"
LANGUAGES = [code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[sd]|\{\w*\}")


def catalogue_at(path: Path) -> Catalog:
    """A catalogue as Babel reads it."""
    with path.open("rb") as file:
        return read_po(file)


def texts_of(catalogue: Catalog) -> set[Any]:
    """What identifies each text; singular and plural belong together."""
    return {(message.context, message.id) for message in catalogue if message.id}


def forms_of(text: Any) -> tuple[str, ...]:
    """Singular and plural, or the one form that there is."""
    return tuple(text) if isinstance(text, (list, tuple)) else (text,)


# --- The catalogues --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources in which the texts were collected as ``make messages`` does it."""
    if shutil.which("xgettext") is None and "CI" in os.environ:
        pytest.fail("no xgettext on this machine, and CI must compare the translations with the sources")
    if shutil.which("xgettext") is None:
        pytest.skip("no xgettext on this machine (Debian: apt install gettext)")
    copy = tmp_path_factory.mktemp("sources")
    for name in (*PACKAGES, "templates"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", copy)
    command = [sys.executable, "manage.py", "messages"]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "litemaas.settings", "DATA_DIR": str(copy / "data")}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return copy / "litemaas/locale"


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_text_of_the_sources_is_translated(collected: Path, code: str) -> None:
    in_sources = catalogue_at(collected / code / "LC_MESSAGES/django.po")
    kept = catalogue_at(LOCALE / code / "LC_MESSAGES/django.po")
    assert len(texts_of(in_sources)) > 100
    assert texts_of(in_sources) - texts_of(kept) == set(), "run `make messages` and translate what is new"
    unfinished = [message.id for message in kept if message.id and not is_finished(message)]
    assert unfinished == [], f"{len(unfinished)} texts are empty or fuzzy in {code}"


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_translation_is_of_a_text_that_is_gone(collected: Path, code: str) -> None:
    kept = catalogue_at(LOCALE / code / "LC_MESSAGES/django.po")
    in_sources = catalogue_at(collected / code / "LC_MESSAGES/django.po")
    assert texts_of(kept) - texts_of(in_sources) == set(), "run `make messages`"


@pytest.mark.parametrize("code", LANGUAGES)
def test_compiled_translations_are_those_of_the_catalogue(code: str, tmp_path: Path) -> None:
    kept = LOCALE / code / "LC_MESSAGES/django.po"
    shutil.copy(kept, tmp_path / "django.po")
    compile_catalogue(tmp_path / "django.po")
    assert (tmp_path / "django.mo").read_bytes() == kept.with_suffix(".mo").read_bytes(), "run `make messages`"


@pytest.mark.parametrize("code", LANGUAGES)
def test_translations_fill_in_the_same_values(code: str) -> None:
    wrong: list[Any] = []
    for message in catalogue_at(LOCALE / code / "LC_MESSAGES/django.po"):
        sources, targets = forms_of(message.id), forms_of(message.string)
        wanted = {name for source in sources for name in PLACEHOLDER.findall(source)}
        wrong += [target for target in targets if message.id and target and set(PLACEHOLDER.findall(target)) - wanted]
        # A plural's "one" may leave the number out; everything else says everything.
        fullest = {name for target in targets for name in PLACEHOLDER.findall(target or "")}
        if message.id and all(targets) and fullest != wanted:
            wrong.append(message.id)
    assert wrong == []


# --- Templates -------------------------------------------------------------------------------------------------------

# Names, which are the same in every language.
NAMES = re.compile(r"\b(LiteMaaS|LiteLLM|curl|Python|JavaScript|CSV|JSON|API|UTC|USD|OpenAPI|htmx)\b")
WORD = re.compile(r"[^\W\d_]{2,}")
SPOKEN = ("alt", "aria-description", "aria-label", "aria-roledescription", "placeholder", "summary", "title")
SPOKEN_BY_SCRIPT = ("data-copied", "data-failed", "data-label", "data-tabs", "hx-confirm", "hx-prompt")
TRANSLATING = ("blocktranslate", "blocktrans")


class Spoken(HTMLParser):
    """The words of a template that are visible or read aloud, once everything that Django fills in is gone."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0
        self._icon = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Attributes that somebody hears or sees; a button's value is what it sends."""
        self._silent += tag in {"script", "style"}
        # In the admin portal's icon font the name of a picture is its text.
        self._icon = "material-symbols-outlined" in (dict(attrs).get("class") or "")
        shows_value = tag == "input" and dict(attrs).get("type") in {"submit", "button", "reset"}
        spoken = (*SPOKEN, *SPOKEN_BY_SCRIPT, *(["value"] if shows_value else []))
        self._note(value for name, value in attrs if name in spoken)

    def handle_endtag(self, tag: str) -> None:
        """Scripts and styles end."""
        self._silent -= tag in {"script", "style"}
        self._icon = False

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        if not self._silent and not self._icon:
            self._note([data])

    def _note(self, found: Any) -> None:
        self.words += [text.strip() for text in found if text and WORD.search(NAMES.sub("", text))]


def left_over(tokens: list[Token]) -> str:
    """A template without its tags, its values and the texts that are translated."""
    kept, inside = [], False
    for token in tokens:
        first = token.contents.split()[0] if token.token_type == TokenType.BLOCK and token.contents else ""
        if first in TRANSLATING:
            inside = True
        elif first.removeprefix("end") in TRANSLATING or first == "endcomment":
            inside = False
        elif first == "comment":
            inside = True
        elif token.token_type == TokenType.TEXT and not inside:
            kept.append(token.contents)
    return "".join(kept)


def handed_on(tokens: list[Token]) -> Iterator[str]:
    """Texts in quotes in a tag that hands them to another template, such as ``include … with label="Yes"``."""
    for token in tokens:
        if token.token_type == TokenType.BLOCK and token.split_contents()[0] in {"include", "with"}:
            for part in token.split_contents()[1:]:
                name, _equals, value = part.partition("=")
                is_text = value[:1] in {'"', "'"} and WORD.search(NAMES.sub("", value))
                if is_text and (" " in value or value[1:2].isupper()) and name not in {"css", "icon_name"}:
                    yield part


def test_every_text_of_a_template_can_be_translated() -> None:
    found = {}
    for path in templates():
        tokens = Lexer(path.read_text()).tokenize()
        words = [*Spoken(left_over(tokens)).words, *handed_on(tokens)]
        if words:
            found[path.relative_to(ROOT).as_posix()] = words
    assert found == {}


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ('<a title="Go on" href="/x">{% translate "Yes" %}</a>', ["Go on"]),
        ('{% if x %}<b aria-label="Close">{{ y }}</b>{% endif %}', ["Close"]),
        ("{% blocktranslate %}fine{% endblocktranslate %}not fine", ["not fine"]),
        ('<input type="submit" value="Send"><input value="kept">', ["Send"]),
        ("{% comment %}nobody sees this{% endcomment %}<code>LiteMaaS</code>", []),
        ('{% include "x.html" with text="Say this" css="half plain" only %}', ['text="Say this"']),
    ],
)
def test_the_walk_over_templates_finds_what_it_is_for(template: str, words: list[str]) -> None:
    tokens = Lexer(template).tokenize()
    assert [*Spoken(left_over(tokens)).words, *handed_on(tokens)] == words


def test_lists_that_page_can_be_replaced_in_place() -> None:
    """The links of components/pages.html replace #results or the place that they are told; without it they would do
    nothing at all."""
    paging = [
        (path.name, place or "results", path.read_text())
        for path in templates()
        for place in re.findall(r'include "components/pages.html"(?: with place="(\w+)")?', path.read_text())
    ]
    assert paging
    assert [name for name, place, text in paging if f'id="{place}"' not in text] == []


# --- Python ----------------------------------------------------------------------------------------------------------

GETTEXT = {"gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy", "npgettext"}
DOMAIN_ERRORS = {
    name for name, known in vars(errors).items() if isinstance(known, type) and issubclass(known, errors.DomainError)
}
SAYING = {"messages.debug", "messages.error", "messages.info", "messages.success", "messages.warning"}
LABELS = {
    "description",
    "empty_label",
    "help_text",
    "label",
    "short_description",
    "verbose_name",
    "verbose_name_plural",
}


@cache
def spoken_modules() -> list[Module]:
    """The product without the emulator, whose words are LiteLLM's."""
    return [module for module in product() if "/emulator/" not in module.name and "/management/" not in module.name]


def gettext_names(module: Module) -> dict[str, str]:
    """What the module calls gettext's functions -> what they are."""
    return {
        alias.asname or alias.name: alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
        if alias.name in GETTEXT
    }


def literal_words(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """Texts in an expression that do not go through gettext; subscripts and arguments of other calls are data."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORD.search(NAMES.sub("", node.value)):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield from (found for part in node.values for found in literal_words(part, known))
    elif isinstance(node, ast.BinOp):
        yield from literal_words(node.left, known)
        if not isinstance(node.op, ast.Mod):
            yield from literal_words(node.right, known)
    elif isinstance(node, ast.IfExp):
        yield from (found for part in (node.body, node.orelse) for found in literal_words(part, known))
    elif isinstance(node, ast.Call) and ast.unparse(node.func) not in known and ast.unparse(node.func) == "str":
        yield from (found for part in node.args for found in literal_words(part, known))


def assigned(function: ast.AST, name: str) -> Iterator[ast.expr]:
    """What a name of a function stands for."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            yield node.value


def said(module: Module) -> Iterator[tuple[int, str]]:
    """Each text that an error or a message says without gettext."""
    known = gettext_names(module)
    for function in module.functions():
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            is_error = called.rpartition(".")[2] in {*DOMAIN_ERRORS, "ValidationError"}
            place = 0 if is_error else 1 if called in SAYING else None
            if place is not None and len(node.args) > place:
                argument = node.args[place]
                sources = [argument, *assigned(function, argument.id)] if isinstance(argument, ast.Name) else [argument]
                yield from ((node.lineno, words) for source in sources for words in literal_words(source, known))


def test_errors_and_messages_speak_through_gettext() -> None:
    found = [f"{m.name}:{line} {words}" for m in spoken_modules() for line, words in said(m)]
    assert found == []


def named_choices(module: Module) -> Iterator[tuple[int, ast.expr]]:
    """The label of each member of TextChoices and its like; without one Django makes it of the name."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Choices") for base in node.bases):
            for line in node.body:
                if isinstance(line, ast.Assign):
                    yield line.lineno, line.value.elts[-1] if isinstance(line.value, ast.Tuple) else line.value


def labels_of_fields(module: Module) -> Iterator[tuple[int, ast.expr]]:
    """Labels and help of forms and admins, and the second half of each choice."""
    in_a_form = module.path.name in {"forms.py", "admin.py"}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.keyword) and node.arg in LABELS and in_a_form:
            yield node.value.lineno, node.value
        if isinstance(node, ast.keyword) and node.arg == "choices":
            pairs = (pair for pair in ast.walk(node.value) if isinstance(pair, ast.Tuple) and len(pair.elts) == 2)
            yield from ((pair.lineno, pair.elts[1]) for pair in pairs)


def labels(module: Module) -> Iterator[tuple[int, str]]:
    """Each label, help text and choice that stands in the code as it is."""
    known = gettext_names(module)
    for line, expression in (*named_choices(module), *labels_of_fields(module)):
        yield from ((line, words) for words in literal_words(expression, known))


def test_labels_and_choices_speak_through_gettext() -> None:
    assert [f"{m.name}:{line} {words}" for m in spoken_modules() for line, words in labels(m)] == []


def frozen(module: Module) -> Iterator[int]:
    """Lines on which a text is translated while the module is imported, and so into one language for ever."""
    eager = {name for name, what in gettext_names(module).items() if not what.endswith("_lazy")}
    waiting: list[ast.AST] = [module.tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in eager:
                yield node.lineno
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                waiting.append(node)


def test_nothing_is_translated_once_for_all_readers() -> None:
    assert [f"{m.name}:{line}" for m in spoken_modules() for line in frozen(m)] == []


PRELUDE = "from django.utils.translation import gettext as _, gettext_lazy as lazy\n"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('def f(): raise Invalid("Too long")', [(2, "Too long")]),
        ('def f(): raise Invalid(f"{n} is too long")', [(2, "is too long")]),
        ('def f():\n    words = "Too long"\n    raise Conflict(words)', [(4, "Too long")]),
        ('def f(): raise errors.NotFound("No " + what)', [(2, "No ")]),
        ('def f(): messages.success(request, "Done and dusted")', [(2, "Done and dusted")]),
        ('def f(): raise Invalid(_("%(n)s is long") % {"n": "seven"}, code="long", field="name")', []),
        ('class S(models.TextChoices):\n    A = "active", "Active"\n    B = "gone", lazy("Gone")', [(3, "Active")]),
        ('class F(forms.Form):\n    a = forms.CharField(label="Name", help_text=lazy("Say it"))', [(3, "Name")]),
        ('a = forms.ChoiceField(choices=[("a", "First"), ("b", lazy("Second"))])', [(2, "First")]),
        ('A = _("Now")\nB = lazy("Later")\ndef f(): return _("Then")', [2]),
    ],
)
def test_the_walk_over_python_finds_what_it_is_for(code: str, found: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "forms.py"
    path.write_text(PRELUDE + code)
    module = Module(path)
    assert [(line, text.strip()) for line, text in [*said(module), *labels(module)]] + list(frozen(module)) == [
        (entry[0], entry[1].strip()) if isinstance(entry, tuple) else entry for entry in found
    ]
