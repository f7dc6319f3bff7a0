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

LIBRARY = (
    "abort abs atexit atof atoi atol atoll bsearch calloc div exit free getenv labs ldiv llabs lldiv malloc mblen "
    "mbstowcs mbtowc qsort rand realloc srand strtod strtof strtol strtold strtoll strtoul strtoull system "
    "wcstombs wctomb "
    "memchr memcmp memcpy memmove memset strcat strchr strcmp strcoll strcpy strcspn strerror strlen strncat strncmp "
    "strncpy strpbrk strrchr strspn strstr strtok strxfrm index rindex bcmp bcopy bzero stpcpy strdup "
    "clearerr fclose feof ferror fflush fgetc fgets fopen fprintf fputc fputs fread freopen fscanf fseek ftell fwrite "
    "getc getchar gets perror printf putc putchar puts remove rename rewind scanf setbuf setvbuf snprintf sprintf "
    "sscanf tmpfile tmpnam ungetc vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf "
    "isalnum isalpha isascii isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit toascii "
    "tolower toupper asctime clock ctime difftime gmtime localtime mktime strftime time signal raise setjmp longjmp "
    "alloca environ fork execv read write open close"
)
"""Functions of C and POSIX, many of which compilers know of without a header."""

MATHS = re.compile(
    r"(acos|asin|atan|cos|sin|tan)h?[fl]?|(acosh|asinh|atan2|atanh|cbrt|ceil|copysign|drem|erfc?|exp|exp10|exp2|expm1|fabs|"
    r"fdim|floor|fma|fmax|fmin|fmod|frexp|gamma|hypot|ilogb|j0|j1|jn|ldexp|lgamma|llrint|llround|log|log10|log1p|log2|logb|"
    r"lrint|lround|modf|nan|nearbyint|nextafter|nexttoward|pow|pow10|remainder|remquo|rint|round|scalb|scalbln|scalbn|"
    r"significand|sincos|sqrt|tgamma|trunc|y0|y1|yn|cabs|carg|cexp|cimag|clog|conj|cpow|cproj|creal|csqrt)[fl]?"
)
"""The same of <math.h> and <complex.h>, of all three kinds of floats."""

TAKEN = frozenset(f"{C} {CPP} {STANDARD} {LIBRARY}".split())

DECODER_HEADERS = frozenset({"ncd", "ncd_nn", "ncd_config"})
C_HEADERS = (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef "
    "stdint stdio stdlib string tgmath time wchar wctype"
)
HEADERS = DECODER_HEADERS.union(C_HEADERS.split())
"""Headers of the decoder and of C, which one of the same name beside a source would hide."""

OURS = "_weights"
"""What makes a name of ours of one that is taken."""

INTEGERS = re.compile(r"u?int(_least|_fast)?(8|16|32|64)_t|u?int(max|ptr)_t")
LIMITS = re.compile(
    r"(U?INT(_LEAST|_FAST)?(8|16|32|64)|U?INT(MAX|PTR)|PTRDIFF|SIG_ATOMIC|SIZE|WCHAR|WINT)_(C|MAX|MIN|WIDTH)"
)


def is_identifier(text: str) -> bool:
    """Whether a text has the form of a C identifier; it may be taken all the same."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is not None


def is_taken(name: str) -> bool:
    """Whether a variable cannot have this name, or macros that start with it could be those of ncd.h."""
    if name.lower() == "ncd" or name.lower().startswith("ncd_"):
        return not name.endswith(OURS)
    return name in TAKEN or any(each.fullmatch(name) for each in (INTEGERS, MATHS))


def is_taken_macro(name: str) -> bool:
    """Whether <stdint.h> may define a macro of this name."""
    return LIMITS.fullmatch(name) is not None


def as_identifier(text: str) -> str:
    """A C identifier for any text."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return plain if plain and not plain[0].isdigit() else f"t_{plain}".rstrip("_")
