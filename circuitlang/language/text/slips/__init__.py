"""Common slips of syntax: what was meant, and the tokens with the slip mended.

Each function of `SLIPS` looks at the place where a statement stopped making sense. It returns
None when the slip is not its own. A slip that comes with mended tokens lets the parser go on as
if it had not happened, so that one slip is one message.
"""

from __future__ import annotations

from collections.abc import Callable

from circuitlang.language.text.slips import blocks, context, operators, values, words
from circuitlang.language.text.slips.spot import Slip, Spot

SLIPS: tuple[Callable[[Spot], Slip | None], ...] = (
    values.counterexample,
    values.text_alone,
    blocks.unclosed_at_end,
    blocks.unclosed_bracket,
    blocks.extra_closer,
    blocks.trailing_comma,
    context.comma_before_context,
    context.target,
    words.no_such_connective,
    words.truth,
    words.reserved_name,
    words.missing_name,
    words.name_of_several_words,
    words.prefix_of_text,
    words.missing_alias,
    values.setting_with_other_value,
    values.text_needed,
    words.misspelt_word,
    words.for_instead_of_forall,
    words.other_quantifier,
    words.missing_in,
    words.share_of_most,
    context.late_generator,
    blocks.missing_colon,
    words.late_quantifier,
    words.late_expect,
    words.precondition,
    context.late_context,
    operators.ampersands,
    operators.foreign_comparison,
    blocks.arrow,
    values.indexed_unclosed,
    values.node,
    blocks.missing_arrow,
    context.bare_expression,
    blocks.arrow_chain,
    operators.bare_shift,
    values.number_as_position,
    values.number,
    blocks.equal_due,
    blocks.several_ends,
    blocks.comma,
    operators.comparison_chain,
    operators.equals,
    blocks.colon_block,
    blocks.braces_for_list,
    context.word_missing,
    operators.missing_operator,
)


def find_slip(spot: Spot) -> Slip | None:
    return next((slip for find in SLIPS if (slip := find(spot)) is not None), None)
