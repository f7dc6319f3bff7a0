"""Names that a C source or header of ours must not give to something of its own."""

from __future__ import annotations

import re

C = (
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
    "_Alignas _Alignof _Atomic _BitInt _Bool _Complex _Decimal128 _Decimal32 _Decimal64 _Generic _Imaginary _Noreturn "
    "_Static_assert _Thread_local alignas alignof bool constexpr false nullptr static_assert thread_local true typeof "
    "typeof_unqual"
)
"""Keywords of C99, C11 and C23."""

CPP = (
    "and and_eq asm bitand bitor catch char16_t char32_t char8_t class co_await co_return co_yield compl concept "
    "const_cast consteval constinit decltype delete dynamic_cast explicit export friend mutable namespace new noexcept "
    "not not_eq operator or or_eq private protected public reinterpret_cast requires static_cast template this throw "
    "try typeid typename using virtual wchar_t xor xor_eq"
)
"""Keywords of C++, from whose sources the headers can be included."""

STANDARD = "main size_t ptrdiff_t max_align_t nullptr_t offsetof NULL std linux unix i386"
"""The program's start, what <stddef.h> declares, and what gcc defines where no standard is asked for."""

DECODER = (
    "ncd_codebook ncd_column_scale ncd_config ncd_crc32 ncd_decode_tile_bytes ncd_decode_tile_f32 ncd_decode_tile_i16 "
    "ncd_decode_tile_i8 ncd_decode_tile_indices ncd_decode_tiles_i16 ncd_decode_tiles_i8 ncd_model ncd_model_open "
    "ncd_model_open_header ncd_record ncd_record_next ncd_row_scale ncd_status ncd_tensor ncd_tensor_bind "
    "ncd_tensor_check ncd_tensor_find ncd_tensor_least_workspace ncd_tensor_open ncd_tensor_prepare "
    "ncd_tensor_prepare_indices ncd_tensor_workspace ncd_tile_place"
)
"""What ncd.h declares."""

TAKEN = frozenset(f"{C} {CPP} {STANDARD} {DECODER}".split())

INTEGERS = re.compile(r"u?int(_least|_fast)?(8|16|32|64)_t|u?int(max|ptr)_t")
LIMITS = re.compile(
    r"(U?INT(_LEAST|_FAST)?(8|16|32|64)|U?INT(MAX|PTR)|PTRDIFF|SIG_ATOMIC|SIZE|WCHAR|WINT)_(C|MAX|MIN|WIDTH)"
)


def is_identifier(text: str) -> bool:
    """Whether a text has the form of a C identifier; it may be taken all the same."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is not None


def is_taken(name: str) -> bool:
    """Whether a variable cannot have this name, or macros that start with it would be those of ncd.h."""
    return name in TAKEN or name.lower() == "ncd" or INTEGERS.fullmatch(name) is not None


def is_taken_macro(name: str) -> bool:
    """Whether <stdint.h> may define a macro of this name."""
    return LIMITS.fullmatch(name) is not None


def as_identifier(text: str) -> str:
    """A C identifier for any text."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return plain if plain and not plain[0].isdigit() else f"t_{plain}".rstrip("_")
