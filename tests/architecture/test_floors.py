"""Does the house stand? Imports go down, the walls have no holes, and the rooms stay small enough to read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "peakmark"
FLOORS = {
    "errors": 0, "shown": 0, "markup": 0, "geometry": 0, "drawing": 0, "files": 0, "machine": 0, "distributed": 0,
    "nouns": 1, "formula": 1,
    "events": 2, "settings": 2,
    "data": 3, "model": 3, "loss": 3, "evaluate": 3, "selection": 3, "checkpoint": 3, "record": 3,
    "state": 4,
    "validation": 5,
    "train": 6, "deploy": 6, "export": 6, "report": 6, "release": 6, "loggers": 6, "search": 6,
    "run": 7, "live": 7,
    "resume": 8, "checkup": 8,
    "api": 9,
    "cli": 10, "__main__": 11,
}  # fmt: skip
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")
LONGEST_FILE = 400
LONGEST_FUNCTION = 80
MOST_FILES = 15
MOST_LINES = 2500

# The files that their own floor may use: every room must be able to refuse, and to show what others wrote.
SHARED_ON_FLOOR_0 = {"errors", "shown"}


def room_of(module: str) -> str:
    return module.split(".")[1]


def module_of(path: Path) -> str:
    return ".".join(("peakmark", *path.relative_to(SOURCE).with_suffix("").parts))


@cache
def tree_of(path: Path) -> ast.Module:
    """Parsed once for all tests: together the files take a second each time."""
    return ast.parse(path.read_text())


def imports_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full, so that a floor can be read off them"
            yield node.module or "", node.lineno


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_imports_only_from_lower_floors_and_its_own_room(path: Path) -> None:
    room = room_of(module_of(path))
    wrong = []
    for name, line in imports_of(tree_of(path)):
        if not name.startswith("peakmark."):
            continue
        other = room_of(name)
        allowed = other == room or FLOORS[other] < FLOORS[room] or other in SHARED_ON_FLOOR_0
        if not allowed:
            wrong.append(f"line {line}: {name} (floor {FLOORS[other]}) from {room} (floor {FLOORS[room]})")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_import_of_ours_hides_in_a_function(path: Path) -> None:
    hidden = [
        f"line {line}: {name}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for name, line in imports_of(node)
        if name.split(".")[0] == "peakmark"
    ]
    assert not hidden, "\n".join(hidden)


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room_of(module_of(path)) for path in FILES}
    assert rooms <= FLOORS.keys(), rooms - FLOORS.keys()


def test_no_room_is_a_drawer_for_odds_and_ends() -> None:
    names = {part for path in FILES for part in path.relative_to(SOURCE).with_suffix("").parts}
    assert not names & {"utils", "helpers", "misc", "common", "core", "base", "util", "helper"}


# --- walls: one place each --------------------------------------------------------------------------------------------

WALLS = {
    # Model files are read by files/torch_file.py, which can neither call nor be worn out.
    "torch.load": (r"\btorch\.load\(|\bload\(.*weights_only", set()),
    "pickle": (r"^\s*(import|from) (pickle|_pickle|cloudpickle|dill|shelve|marshal)\b", set()),
    "final files": (
        r"\bopen\([^)]*[\"'][wax]b?\+?[\"']|\.write_text\(|\.write_bytes\(|\bcv2\.imwrite\(|\.savefig\([^)]*path|os\.replace\(|\.rename\(|os\.link\(",
        # deploy/tables.py streams into a staged file, which files/durable.py then gives its name.
        # files/stores.py writes into other stores than this machine's disks, where durable.py has no say.
        # files/new_folder.py fills a folder that has no name yet: it comes to be as a whole, by a rename.
        {"files/durable.py", "files/stores.py", "files/new_folder.py", "deploy/tables.py"},
    ),
    "random draws": (
        r"np\.random\.(rand|randn|randint|random|choice|shuffle|permutation|seed|default_rng|RandomState|uniform|normal)\b"
        r"|np\.random\.(Philox|Generator)\(|^\s*(import|from) random\b"
        r"|torch\.(rand|randn|randint|randperm|manual_seed|seed|bernoulli|normal)\(",
        {"machine/streams.py"},
    ),
    "torch.distributed": (
        r"torch\.distributed|from torch import .*\bdistributed\b",
        {"distributed/process_group.py", "distributed/launching.py"},
    ),
    "code from text": (r"(?<![\w.])(eval|exec)\(|\bcompile\([\"']", set()),
    "yaml": (r"yaml\.(load|unsafe_load|full_load|load_all|Loader|UnsafeLoader|FullLoader)\b", set()),
    "printing": (r"(?<![\w.])print\(", set()),
    # HTML is written by templates, which escape; what is joined by hand is one forgotten word from running a script.
    "HTML": (r"\b(jinja2|markupsafe)\b|^\s*from html import|</\w+>", {"markup.py"}),
}


@pytest.mark.parametrize("wall", WALLS)
def test_wall(wall: str) -> None:
    pattern, places = WALLS[wall]
    holes = [
        f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"
        for path in FILES
        if path.relative_to(SOURCE).as_posix() not in places
        for number, line in code_lines(path)
        if re.search(pattern, line) and "durable." not in line
    ]
    assert not holes, "\n".join(holes)


@cache
def code_lines(path: Path) -> list[tuple[int, str]]:
    """The numbered lines of a file outside its docstrings, which may name what the code must not do."""
    text = path.read_text()
    prose = {
        line
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if number not in prose]


def test_the_walls_can_be_seen_through() -> None:
    """The patterns find what they are for: a wall that matches nothing holds nothing."""
    samples = {
        "torch.load": "state = torch.load(path)",
        "pickle": "import pickle",
        "final files": 'with open(path, "wb") as file:',
        "random draws": "x = np.random.default_rng(0)",
        "torch.distributed": "import torch.distributed as dist",
        "code from text": "value = eval(text)",
        "yaml": "yaml.load(text)",
        "printing": "    print(text)",
        "HTML": 'return f"<p>{name}</p>"',
    }
    assert samples.keys() == WALLS.keys()
    for wall, line in samples.items():
        assert re.search(WALLS[wall][0], line), wall


TEMPLATES = sorted(SOURCE.rglob("templates/*.j2"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_template_takes_others_from_lower_floors_and_its_own_room(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0]
    for name in re.findall(r"{%-?\s*(?:extends|include|import|from)\s+(.+?)\s", path.read_text()):
        other = name.strip("\"'").split("/")[0]
        assert other == room or FLOORS[other] < FLOORS[room], name
        assert (SOURCE / name.strip("\"'")).is_file(), name


# What is handed on as it is must be HTML already, with all text in it escaped.
TAKES_HTML = {"report/terminal/templates/cell.html.j2"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_template_escapes_what_it_is_given(path: Path) -> None:
    text = re.sub(r"{#.*?#}", "", path.read_text(), flags=re.DOTALL)
    takes_html = re.search(r"\|\s*safe\b|\bautoescape\b", text)
    assert not takes_html or path.relative_to(SOURCE).as_posix() in TAKES_HTML


# A picture and a logger go through libraries that raise what they like, and a user's own functions do too; none of
# them may end a run.
CATCHES_ALL = {"run/end/pictures.py", "api/model/hooks.py", "loggers/sender.py"}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_broad_except_raises_again(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.ExceptHandler) or path.relative_to(SOURCE).as_posix() in CATCHES_ALL:
            continue
        caught = node.type
        names = {name.id for name in ast.walk(caught) if isinstance(name, ast.Name)} if caught else {"everything"}
        if names & {"Exception", "BaseException", "everything"}:
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert raises, f"{path.name}:{node.lineno} catches {names} and goes on"


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_and_functions_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


def test_files_of_tests_stay_readable() -> None:
    tests = Path(__file__).resolve().parents[1]
    lines = {path.relative_to(tests).as_posix(): len(path.read_text().splitlines()) for path in tests.rglob("*.py")}
    assert "architecture/test_floors.py" in lines
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}, "split it by question"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path))
    assert docstring, "a module begins with the question it answers"


# --- rooms ------------------------------------------------------------------------------------------------------------

ROOMS = sorted(path.parent for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(SOURCE).as_posix())
def test_a_room_can_be_surveyed(room: Path) -> None:
    files = [path for path in room.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_FILES
    assert sum(len(path.read_text().splitlines()) for path in files) <= MOST_LINES


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(SOURCE).as_posix())
def test_a_room_says_its_question_what_it_knows_and_where_reading_begins(room: Path) -> None:
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    question, _, rest = docstring.partition("\n\n")
    assert "?" in question, question
    assert rest.startswith("Knows "), rest
    named = re.findall(r"[\w/]+\.py", " ".join(rest.split()).partition("Begin with ")[2])
    assert named, rest
    assert all((room / name).exists() for name in named), [name for name in named if not (room / name).exists()]
