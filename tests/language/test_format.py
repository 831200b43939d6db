"""The formatter: the same tree, the same comments, and nothing left to change."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.resolve import load
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.format import WIDTH, difference, format_text, format_tree
from circuitlang.language.text.lex import comments, lex
from circuitlang.language.text.parse import DEEPEST, parse
from circuitlang.language.text.unparse import unparse
from tests.language.syntax_trees import EXPRESSIONS, FILES, NOWHERE

ROOT = Path(__file__).parents[2]
SPECS = sorted([*ROOT.glob("specs/*/[!.]*.circ"), *ROOT.glob("tests/language/*/[!.]*.circ")])


def source(text: str) -> Source:
    return Source("t.circ", text, Path())


def statements(text: str) -> list[syntax.Statement]:
    diagnostics = Diagnostics()
    file = parse(source(text), diagnostics)
    assert not diagnostics.has_errors, diagnostics.found
    return [without_spans(s) for s in file.statements]


def without_spans(s: syntax.Statement) -> syntax.Statement:
    if isinstance(s, syntax.Claim) and s.expect is not None:
        return replace(s, expect=(*s.expect[:2], NOWHERE))
    return s


def comments_of(text: str) -> list[str]:
    it = source(text)
    return [str(c) for c in comments(it, lex(it, Diagnostics()).tokens)]


def formatted(text: str) -> str:
    """The canonical text, with all that formatting promises checked."""
    diagnostics = Diagnostics()
    new = format_text(source(text), diagnostics)
    assert new is not None, diagnostics.found
    assert statements(new) == statements(text)
    assert comments_of(new) == comments_of(text)
    assert format_text(source(new), Diagnostics()) == new
    return new


def check(old: str, new: str) -> None:
    assert formatted(old) == new
    assert formatted(new) == new


# ---------------------------------------------------------------- whole files


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.name)
def test_every_spec_keeps_its_tree_and_comments(path):
    diagnostics = Diagnostics()
    it = load(path, diagnostics)
    if it is None or format_text(it, diagnostics) is None:
        assert diagnostics.has_errors
        return
    new = formatted(it.text)
    for line in new.splitlines() if path.parent.name != "bad" else []:
        assert len(line) <= WIDTH or '"' in line or "#" in line, line


@pytest.mark.parametrize("path", sorted(ROOT.glob("specs/*/[!.]*.circ")), ids=lambda p: p.name)
def test_published_specs_are_canonical(path):
    it = load(path, Diagnostics())
    assert it is not None
    assert difference(it.text, format_text(it, Diagnostics()) or "", path.name) == ""


def test_a_text_with_errors_is_not_formatted():
    diagnostics = Diagnostics()
    assert format_text(source("let x =   [1\nlet y = 2\n"), diagnostics) is None
    assert [d.code for d in diagnostics.found] == ["CL004"]


def test_errors_found_before_do_not_count():
    diagnostics = Diagnostics()
    diagnostics.error("CL110", "elsewhere", None)
    assert format_text(source("let  x = 1"), diagnostics) == "let x = 1\n"


def test_the_difference_is_a_unified_diff():
    assert difference("let x = 1\n", "let x = 1\n", "f.circ") == ""
    assert difference("let  x = 1\n", "let x = 1\n", "f.circ") == (
        "--- f.circ\n+++ f.circ (formatted)\n@@ -1 +1 @@\n-let  x = 1\n+let x = 1\n"
    )


# ---------------------------------------------------------------- layout


def test_one_statement_a_line_and_aligned():
    check(
        """

task t { slot A = things  slot other = things prompt "x" sample 3 seed 0


tokens answer = " {A}" tokens foil = 'x'
}  metric m = logit(answer) ablation patch = zero model
"toy" {bos yes dtype "float32"}
""".replace("'x'", '"x"'),
        """task t {
  slot A     = things
  slot other = things
  prompt "x"
  sample 3
  seed 0

  tokens answer = " {A}"
  tokens foil   = "x"
}
metric   m     = logit(answer)
ablation patch = zero
model "toy" { bos yes  dtype "float32" }
""",
    )


def test_what_differs_by_more_than_eight_characters_is_not_aligned():
    check(
        "let a = 1\nlet x2345678 = 1\nlet x234567890 = 2\nlet b = 3",
        "let a        = 1\nlet x2345678 = 1\nlet x234567890 = 2\nlet b = 3\n",
    )


def test_arrows_may_differ_by_sixteen():
    check(
        "circuit c {\n  m0 -> m1\n  m[1,2,3,4,5] @ END -> m9\n  m0 -> m2\n}",
        "circuit c {\n  m0                 -> m1\n  m[1,2,3,4,5] @ END -> m9\n"
        "  m0                 -> m2\n}\n",
    )


def test_runs_end_at_blank_lines_but_not_at_comments():
    check(
        "let a = 1\n\nlet bbb = 1\n# between\nlet c = 2",
        "let a = 1\n\nlet bbb = 1\n# between\nlet c   = 2\n",
    )


def test_short_blocks_stay_on_one_line_when_they_were():
    check(
        """task t {
  corrupt a { x = 1 y = 2 }
  corrupt b { x = 1
    long = 2 }
  corrupt c {  }
}
circuit one { m0 -> m1 }
circuit two { m0 -> m1  m[0..1] -> m2 }
""",
        """task t {
  corrupt a { x = 1  y = 2 }
  corrupt b {
    x    = 1
    long = 2
  }
  corrupt c {}
}
circuit one { m0 -> m1 }
circuit two {
  m0      -> m1
  m[0..1] -> m2
}
""",
    )


def test_claims_break_after_the_colon_then_after_quantifiers_then_at_operators():
    name = "x" * 28
    check(
        f"""claim short:
  forall e in edges(c): drop(c, e) > 0
claim a: forall e in edges({name}): abs(drop({name}, e)) >= 1
claim b: forall e in edges({name}): abs(drop({name}, e)) >= 1 and drop({name}) > 0
claim c: forall e in edges({name}): abs(drop({name}, e)) >= 1 and drop({name}, {name}) > 0
""",
        f"""claim short: forall e in edges(c): drop(c, e) > 0
claim a:
  forall e in edges({name}): abs(drop({name}, e)) >= 1
claim b:
  forall e in edges({name}):
    abs(drop({name}, e)) >= 1 and drop({name}) > 0
claim c:
  forall e in edges({name}):
    abs(drop({name}, e)) >= 1
      and drop({name}, {name}) > 0
""",
    )


def test_sentences_and_expectations_break_a_claim():
    check(
        'claim a "said" over prompts: x > 0\nclaim b expect fails "why": x > 0\n'
        'claim c expect fails "": x > 0',
        'claim a "said" over prompts:\n  x > 0\nclaim b\n  expect fails "why":\n  x > 0\n'
        "claim c\n  expect fails:\n  x > 0\n",
    )


def test_literals_fill_lines_and_tuples_stand_in_columns():
    words = ", ".join(f'"word{i}"' for i in range(18))
    rows = ", ".join(f"(a{i}.h0, {'x' * (i % 3 + 1)}, {i})" for i in range(9, 14))
    new = formatted(f"let words = [{words}]\nlet rows = [{rows}, (a0.h[1,2,3], none, 1)]")
    assert new == (
        "let words = [\n"
        '  "word0", "word1", "word2", "word3", "word4", "word5", "word6", "word7", "word8", "word9",\n'
        '  "word10", "word11", "word12", "word13", "word14", "word15", "word16", "word17"\n'
        "]\n"
        "let rows = [\n"
        "  (a9.h0,       x,    9),\n"
        "  (a10.h0,      xx,   10),\n"
        "  (a11.h0,      xxx,  11),\n"
        "  (a12.h0,      x,    12),\n"
        "  (a13.h0,      xx,   13),\n"
        "  (a0.h[1,2,3], none, 1)\n"
        "]\n"
    )


def test_calls_break_at_what_they_are_given():
    check(
        "measure worse(C, e) = share(error(C, C - e) > error(C + p, C + p - n)"
        " for p in inflations for n in random(edges(p - C), 1) under zero)",
        """measure worse(C, e) = share(
  error(C, C - e) > error(C + p, C + p - n)
  for p in inflations
  for n in random(edges(p - C), 1)
  under zero
)
""",
    )


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("C - a9.h9 -> logits", "C - (a9.h9 -> logits)"),
        ("(C - a) + (b)", "C - a + b"),
        ("C - (a + b)", "C - (a + b)"),
        ("(a -> b) @ END", "(a -> b) @ END"),
        ("a -> (b @ END)", "a -> b @ END"),
        ("A - b + A & b @ END", "A - b + (A & (b @ END))"),
        ("(A & b) & c - d", "(A & b & c) - d"),
        ("M - (movers @ END)", "M - movers @ END"),
        ("drop(C, (a -> b))", "drop(C, a -> b)"),
        ("- (1) * ((2))", "-1 * 2"),
        ("-(1 * 2)", "-(1 * 2)"),
        ("a9.h[ 6 , 9 ] + m[ 0 .. 3 ].", None),
        ("a9.h[ 6 , 9 ] + m[ 0 .. 3 ]", "a9.h[6,9] + m[0..3]"),
        ("a9 . h9", None),
        ("wang . ioi", "wang.ioi"),
        ("02 .. 98", "02..98"),
        ("5% + 1e-3", "5% + 1e-3"),
        ("f( n = 1, x , m=2 under(zero) )", "f(n = 1, x, m = 2 under zero)"),
        ('"a\\"b" + """c"d"""', '"a\\"b" + """c"d"""'),
        ("[ x for (a,b) in y  if a<b ]", "[x for (a, b) in y if a < b]"),
    ],
)
def test_expressions(written, canonical):
    if canonical is None:
        assert format_text(source(f"let x = {written}"), Diagnostics()) is None
    else:
        check(f"let x = {written}", f"let x = {canonical}\n")


def test_prompts_are_never_broken():
    long = "word " * 40
    text = f'task t {{\n  prompt "{long}"\n  prompt """a {{A}}\n\n   b\\"\n"""\n  sample 1\n}}\n'
    assert formatted(text) == text


def test_empty_settings_go():
    check('model "toy" { }', 'model "toy"\n')
    check('model "toy" { # why\n}\nlet x = 1', 'model "toy"  # why\nlet x = 1\n')


# ---------------------------------------------------------------- comments


def test_comments_around_statements():
    check(
        """# first


# second
let x = 1 # behind
   # own

task t { # opens

  # before
  slot A = x   # A
  slot long = x # long

  # last

} # closed
# end""",
        """# first

# second
let x = 1  # behind
# own

task t {  # opens
  # before
  slot A    = x  # A
  slot long = x  # long

  # last
}  # closed
# end
""",
    )


def test_comments_are_aligned_behind_the_lines_of_a_paragraph():
    check(
        "group a = m0 # a\ngroup b = m[1..2]\ngroup c = m[1..12] # c\n\ngroup d = m3 # d",
        "group a = m0        # a\ngroup b = m[1..2]\ngroup c = m[1..12]  # c\n\n"
        "group d = m3  # d\n",
    )


def test_a_comment_that_ends_like_a_block():
    check("# see {\n\nlet x = 1 # {\n\nlet y = 1", "# see {\n\nlet x = 1  # {\n\nlet y = 1\n")


def test_comments_break_what_they_stand_in():
    check(
        """let x = [ "a", # first
  "b" # second
  # own
  , "c"
  # last
  ]
claim y: drop(C, # why
   e) >= 1 and # so
   # that
   (a + # inner
   b) * 2 > 0
""",
        """let x = [
  "a",  # first
  "b",  # second
  # own
  "c"
  # last
]
claim y:
  drop(
    C,  # why
    e
  )
    >= 1  # so
    # that
    and (a  # inner
      + b)
      * 2
      > 0
""",
    )


def test_comments_in_places_where_nobody_writes_them():
    pieces = (
        'claim # 1\n x # 2\n "s" # 3\n over # 4\n prompts # 5\n expect # 6\n fails # 7\n "r" # 8\n'
        " : # 9\n forall # 10\n ( # 11\n a # 12\n , # 13\n b # 14\n ) # 15\n in # 16\n ( # 17\n"
        " c # 18\n ) # 19\n : # 20\n ( # 21\n ( # 22\n f # 23\n ( # 24\n x # 25\n . # 26\n y # 27\n"
        " on # 28\n z # 29\n ) # 30\n ) # 31\n . # 32\n q # 33\n ) # 34\n > # 35\n - # 36\n 1 # 37"
    ).replace(") # 31\n . # 32\n q # 33\n ) # 34", ") # 31\n ) # 34")
    own = pieces.replace(" #", "\n #")
    for text in (pieces, own):
        assert len(comments_of(formatted(text))) == 35


def test_a_hash_in_a_string_is_no_comment():
    assert comments_of('let x = "# no" # yes') == ["# yes"]
    check('let x = """# no\n# no"""# yes', 'let x = """# no\n# no"""  # yes\n')


# ---------------------------------------------------------------- trees

quick = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@quick
@given(EXPRESSIONS)
def test_an_expression_reads_back_from_one_line(expression):
    (define,) = statements(f"let x = {unparse(expression)}")
    assert define.value == expression


@quick
@given(FILES)
def test_a_tree_reads_back_from_its_text(file):
    text = format_tree(file)
    assert statements(text) == list(file.statements)
    again = format_text(source(text), Diagnostics())
    assert again is not None
    assert statements(again) == list(file.statements)
    formatted(again)


@quick
@given(FILES, st.integers(0, 1_000_000))
def test_comments_and_line_ends_anywhere(file, seed):
    """Between any two tokens of any file: a blank, line ends, a comment behind or on its own line."""
    it = source(format_tree(file))
    random = Random(seed)
    pieces = []
    for number, token in enumerate(lex(it, Diagnostics()).tokens):
        ends = [" "] * 6 + ["\n", "\n\n\n", f" # {number}\n", f"\n\n  # {number}\n\n"]
        pieces += [str(token), random.choice(ends)]
    formatted("".join(pieces))


# ---------------------------------------------------------------- bounds


def cost(text: str) -> float:
    started = time.process_time()
    assert format_text(source(text), Diagnostics()) is not None
    return time.process_time() - started


def test_a_long_spec_takes_no_time():
    spec = (ROOT / "specs/toy/edges.circ").read_text(encoding="utf-8")
    times = 2000 // spec.count("\n") + 1
    parsing = time.process_time()
    parse(source(spec * times), Diagnostics())
    parsing = time.process_time() - parsing
    assert cost(spec * times) < 2 + 3 * parsing


@pytest.mark.parametrize(
    "text",
    {
        "a sum": "let x = " + " + ".join(["a"] * 70),
        "names": "let x = a" + ".a" * 20_000,
        "a list": "let x = [" + ", ".join(["a"] * 20_000) + "]",
        "tuples": "let x = [" + ", ".join(["(a, b, 1)"] * 5_000) + "]",
        "adjacent claims": "claim x: a > 0  # c\n" * 2_000,
        "comments": "let x = [\n" + "a, # c\n# d\n" * 5_000 + "b]",
        "only comments after": "let x = 1\n" + "# c\n\n" * 20_000,
        "blanks in an index": "let x = m[" + " " * 200_000 + "0]",
        "nested tables": "let x = " + "[(1, 2), (1, " * 16 + "1" + ")]" * 16,
    }.items(),
    ids=lambda item: item[0],
)
def test_time_grows_with_the_text(text):
    assert cost(text[1]) < 10


@pytest.mark.parametrize(
    ("opening", "closing", "levels"),
    [
        ("(", ")", 1),
        ("[", "]", 2),
        ("f(", ")", 2),
        ("-", "", 1),
        ("(1 + ", ") * 2", 3),
        ("(1, ", ")", 1),
        ("[(1, 2), (1, ", ")]", 3),
    ],
)
def test_the_deepest_that_can_be_read_can_be_formatted(opening, closing, levels):
    depth = DEEPEST // levels - 4
    formatted("let x = " + opening * depth + "1" + closing * depth)
    quantifiers = "forall a in b: " * (DEEPEST - 10)
    formatted(f"claim x: {quantifiers}a > 0")


def test_deeper_is_an_error():
    diagnostics = Diagnostics()
    assert format_text(source("let x = " + "[" * 500 + "]" * 500), diagnostics) is None
    assert [d.code for d in diagnostics.found] == ["CL008"]


def test_formatting_imports_nothing_heavy():
    code = (
        "import sys, circuitlang.language.text.format\n"
        "print(sorted({'torch', 'numpy', 'rich', 'transformers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
