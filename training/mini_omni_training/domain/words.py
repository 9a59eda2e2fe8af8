"""How numbers and lists are said.

Everything the model hears, reads and says is spelled out: "twenty one", never "21".
"""

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
).split()

PLURALS = {
    "fish": "fish", "sheep": "sheep", "mouse": "mice", "bus": "buses", "church": "churches",
    "cherry": "cherries", "knife": "knives",
}  # fmt: skip


def number(n: int) -> str:
    """Says 0..9999, and negative numbers as "minus …"."""
    if n < 0:
        return "minus " + number(-n)
    if n < 20:
        return UNITS[n]
    if n < 100:
        return TENS[n // 10] + ("" if n % 10 == 0 else " " + UNITS[n % 10])
    size, name = (100, "hundred") if n < 1000 else (1000, "thousand")
    rest = n % size
    return f"{number(n // size)} {name}" + ("" if rest == 0 else " " + number(rest))


def capital(text: str) -> str:
    """Upper-cases the first letter and leaves the rest as it is."""
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """Puts "a" or "an" before a noun."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def plural(noun: str) -> str:
    """More than one of them: "apples", "mice"."""
    return PLURALS.get(noun, noun + "s")


def listed(words: list[str]) -> str:
    """Says a list: "one, two and three"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
