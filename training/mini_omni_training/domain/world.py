"""Kinds of question about words, things, places and the calendar."""

from collections.abc import Iterator

from . import tables
from .fact import Fact
from .words import article, capital, number, plural


def opposites() -> Iterator[Fact]:
    for pair in tables.OPPOSITES:
        for a, b in (pair, pair[::-1]):
            ways = [f"What is the opposite of {a}?", f"Tell me the opposite of {a}."]
            yield Fact(a, ways, f"The opposite of {a} is {b}.", "opposites", {"a": a})


def _neighbours(what: str, names: list[str], i: int) -> Iterator[Fact]:
    """What comes after and before the i-th of names that go round."""
    name = names[i]
    ways = [f"What {what} comes after {name}?", f"Which {what} follows {name}?"]
    answer = f"After {name} comes {names[(i + 1) % len(names)]}."
    yield Fact(f"+{name}", ways, answer, f"{what}_after", {"a": name})
    ways = [f"What {what} comes before {name}?", f"Which {what} is before {name}?"]
    answer = f"Before {name} comes {names[i - 1]}."
    yield Fact(f"-{name}", ways, answer, f"{what}_before", {"a": name})


def next_day() -> Iterator[Fact]:
    for i in range(len(tables.DAYS)):
        yield from _neighbours("day", tables.DAYS, i)


def days_ahead() -> Iterator[Fact]:
    for i, day in enumerate(tables.DAYS):
        for n in range(2, 8):
            then = tables.DAYS[(i + n) % 7]
            ways = [
                f"If today is {day}, what day is it in {number(n)} days?",
                f"Today is {day}. Which day is it in {number(n)} days?",
            ]
            answer, words = f"In {number(n)} days it is {then}.", {"a": day, "n": number(n)}
            yield Fact(f"{day}{n}", ways, answer, "days_ahead", words)


def months() -> Iterator[Fact]:
    for i, month in enumerate(tables.MONTHS):
        yield from _neighbours("month", tables.MONTHS, i)
        ways = [f"How many days does {month} have?", f"How many days are in {month}?"]
        answer = f"{month} has {number(tables.MONTH_DAYS[i])} days."
        yield Fact(f"n{month}", ways, answer, "month_days", {"a": month})


def seasons() -> Iterator[Fact]:
    for i, month in enumerate(tables.MONTHS):
        season = ["winter", "spring", "summer", "autumn"][((i + 1) % 12) // 3]
        ways = [f"What season is {month} in?", f"Which season is it in {month}?"]
        yield Fact(month, ways, f"{month} is in {season}.", "seasons", {"a": month})


def colours() -> Iterator[Fact]:
    for thing, colour in tables.COLOURS.items():
        ways = [f"What color is {thing}?", f"Which color is {thing}?"]
        yield Fact(thing, ways, f"{capital(thing)} is {colour}.", "colours", {"a": thing})


def mixing() -> Iterator[Fact]:
    for (a, b), c in tables.MIXES.items():
        for x, y in ((a, b), (b, a)):
            ways = [f"What color do {x} and {y} make?", f"What do you get from {x} and {y}?"]
            answer = f"{capital(x)} and {y} make {c}."
            yield Fact(f"{x}{y}", ways, answer, "mixing", {"a": x, "b": y})


def capitals() -> Iterator[Fact]:
    for country, city in tables.CAPITALS.items():
        ways = [
            f"What is the capital of {country}?",
            f"Which city is the capital of {country}?",
            f"Tell me the capital of {country}.",
        ]
        answer = f"The capital of {country} is {city}."
        yield Fact(country, ways, answer, "capitals", {"a": country})


def continents() -> Iterator[Fact]:
    for continent, countries in tables.CONTINENTS.items():
        for country in countries:
            ways = [f"Where is {country}?", f"Which continent is {country} in?"]
            answer = f"{capital(country)} is in {continent}."
            yield Fact(country, ways, answer, "continents", {"a": country})


def spelling() -> Iterator[Fact]:
    for word in tables.SPELL:
        letters = ", ".join(word.upper())
        ways = [f"How do you spell {word}?", f"Please spell {word}.", f"Spell {word}."]
        yield Fact(word, ways, f"{letters}.", "spelling", {"a": word})


def letters() -> Iterator[Fact]:
    for word in tables.SPELL:
        ways = [f"How many letters are in {word}?", f"How many letters does {word} have?"]
        answer = f"{capital(word)} has {number(len(word))} letters."
        yield Fact(word, ways, answer, "letters", {"a": word})


def first_letter() -> Iterator[Fact]:
    for word in tables.SPELL:
        ways = [f"What is the first letter of {word}?"]
        answer = f"The first letter of {word} is {word[0].upper()}."
        yield Fact(word, ways, answer, "first_letter", {"a": word})


def units() -> Iterator[Fact]:
    for small, big, factor in tables.UNITS:
        for n in range(1, 13):
            many = big if n == 1 else plural(big)
            ways = [
                f"How many {small} are in {number(n)} {many}?",
                f"How many {small} are there in {number(n)} {many}?",
            ]
            verb = "is" if n == 1 else "are"
            said = f"{capital(number(n))} {many} {verb} {number(n * factor)} {small}."
            words = {"s": small, "b": f"{number(n)} {many}"}
            yield Fact(f"{n}{big}", ways, said, "units", words)


def compare_size() -> Iterator[Fact]:
    ranked = tables.BY_SIZE
    for i, a in enumerate(ranked):
        for j, b in enumerate(ranked):
            if i != j:
                big, small = ranked[max(i, j)], ranked[min(i, j)]
                x, y = article(a), article(b)
                ways = [f"Which is bigger, {x} or {y}?"]
                answer, words = f"{capital(article(big))} is bigger.", {"a": x, "b": y}
                yield Fact(f"big{a}{b}", ways, answer, "bigger_thing", words)
                ways = [f"What is smaller, {x} or {y}?"]
                answer, words = f"{capital(article(small))} is smaller.", {"a": x, "b": y}
                yield Fact(f"small{a}{b}", ways, answer, "smaller_thing", words)


def categories() -> Iterator[Fact]:
    for group, members in tables.GROUPS.items():
        for member in members:
            ways = [f"What is {article(member)}?", f"What kind of thing is {article(member)}?"]
            answer = f"{capital(article(member))} is {article(group)}."
            yield Fact(member, ways, answer, "categories", {"a": article(member)})


def is_it() -> Iterator[Fact]:
    groups = list(tables.GROUPS)
    for group, members in tables.GROUPS.items():
        for member in members:
            for asked in groups:
                right = asked == group
                ways = [f"Is {article(member)} {article(asked)}?"]
                said = f"{article(member)} is {article(group)}."
                words = {"a": article(member), "b": article(asked)}
                answer = f"{'Yes' if right else 'No'}, {said}"
                yield Fact(f"{member}{asked}", ways, answer, "is_it", words)


def legs() -> Iterator[Fact]:
    for animal, n in tables.LEGS.items():
        ways = [f"How many legs does {article(animal)} have?"]
        answer = f"{capital(article(animal))} has {number(n)} legs."
        yield Fact(animal, ways, answer, "legs", {"a": article(animal)})


def sounds() -> Iterator[Fact]:
    for animal, sound in tables.SOUNDS.items():
        ways = [f"What does {article(animal)} say?", f"What sound does {article(animal)} make?"]
        answer = f"{capital(article(animal))} says {sound}."
        yield Fact(animal, ways, answer, "sounds", {"a": article(animal)})


KINDS = {
    f.__name__: f
    for f in (
        opposites, next_day, days_ahead, months, seasons, colours, mixing, capitals, continents,
        spelling, letters, first_letter, units, compare_size, categories, is_it, legs, sounds,
    )
}  # fmt: skip
