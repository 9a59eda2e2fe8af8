"""Free sentences to read aloud: speech that cannot be memorised.

The vocabulary is limited, so that every word comes back hundreds of times; the combinations are
not. Sentence `i` of a seed is a pure function of (seed, i): a corpus can grow and be
made in parts.
"""

import random

from .domain import questions
from .domain.tables import CAPITALS, COLOURS, DAYS, MONTHS, OPPOSITES, SPELL
from .domain.words import capital, listed, number

NOUNS = (
    "man woman child boy girl friend teacher doctor farmer driver king queen cat dog horse "
    "cow bird fish sheep mouse lion bear elephant house door window room table chair bed "
    "floor wall roof garden tree flower leaf river lake sea mountain hill forest field road "
    "street bridge town city country island beach sun moon star sky cloud rain snow wind "
    "storm fire water stone sand bread milk apple orange banana lemon egg cheese soup cake "
    "tea coffee cup plate knife spoon bottle bag box book page letter pen paper picture song "
    "story game ball car bus train boat plane bicycle ship wheel engine clock phone radio "
    "lamp light key coat hat shoe shirt ring hand foot head eye ear voice word name number "
    "question answer plan idea dream day night morning evening week month year hour minute "
    "school church shop market office kitchen station library hospital farm music"
).split()
PLACES = (
    "kitchen garden forest city street house school market office station library river lake "
    "sea mountain field town island beach shop church farm room bridge"
).split()
ADJECTIVES = (
    "big small old young new good bad long short high low hot cold warm dark light fast slow "
    "hard soft strong weak happy sad early late quiet loud clean dirty empty full rich poor "
    "heavy deep wide narrow thick thin round sweet fresh dry wet bright kind brave clever "
    "tired hungry busy beautiful strange simple red blue green yellow black white brown gray "
    "pink purple"
).split()
VERBS = (
    "sees finds takes brings keeps holds likes loves wants needs opens closes buys sells "
    "makes builds paints cleans carries drops throws catches follows watches hears knows "
    "remembers forgets leaves moves turns pushes pulls draws reads writes sings cooks eats "
    "washes breaks lifts gives"
).split()
MOVES = (
    "walks runs goes comes sits stands sleeps waits lives works plays swims falls stops rests "
    "jumps dances talks laughs smiles cries speaks listens stays returns"
).split()
ADVERBS = ("slowly quickly often never always again today tomorrow now soon here there").split()
PREPOSITIONS = ("in near behind under over from to across beside around into by").split()
PRONOUNS = ["I", "you", "we", "they"]
BARE = (
    "see find take bring keep hold like love want need open close buy sell make build paint "
    "clean carry drop throw catch follow watch hear know remember forget leave move turn push "
    "pull draw read write sing cook eat wash break lift give walk run go come sit stand sleep "
    "wait live work play swim fall stop rest jump dance talk laugh smile cry speak listen "
    "stay return help call ask"
).split()
HELPERS = ["can", "will", "must", "should", "may", "could", "would"]
LINKS = ["and", "but", "because", "when", "while", "before", "after", "so"]
EXTRA = (
    "yes no please thank sorry hello goodbye welcome okay the of is are was were has have had "
    "this that these those my your his her our their some many every each both all more less "
    "very too only just first second third last next other same plus minus times divided "
    "comes larger smaller bigger even odd double half opposite capital letters legs season "
    "color animal fruit tool vehicle plant building timer alarm volume Europe Asia Africa "
    "America spring summer autumn winter hundred thousand seconds minutes hours days weeks "
    "months what where who how why which"
).split()


def _noun_phrase(rng: random.Random) -> str:
    start = rng.choice(("the the a my your his her our this that every").split())
    middle = rng.choice(ADJECTIVES) + " " if rng.random() < 0.5 else ""
    noun = middle + rng.choice(NOUNS)
    return ("an " if start == "a" and noun[0] in "aeiou" else start + " ") + noun


def _place(rng: random.Random) -> str:
    return f"{rng.choice(PREPOSITIONS)} the {rng.choice(PLACES)}"


def _clause(rng: random.Random) -> str:
    subject = _noun_phrase(rng)
    form = rng.randrange(6)
    if form == 0:
        return f"{subject} {rng.choice(VERBS)} {_noun_phrase(rng)}"
    if form == 1:
        return f"{subject} {rng.choice(MOVES)} {_place(rng)}"
    if form == 2:
        return f"{subject} {rng.choice(['is', 'was'])} {rng.choice(ADJECTIVES)}"
    if form == 3:
        helper, verb = rng.choice(HELPERS), rng.choice(BARE)
        return f"{rng.choice(PRONOUNS)} {helper} {verb} {_noun_phrase(rng)}"
    if form == 4:
        return f"{subject} {rng.choice(MOVES)} {rng.choice(ADVERBS)}"
    return f"{rng.choice(PRONOUNS)} {rng.choice(BARE)} {_noun_phrase(rng)} {_place(rng)}"


def _sentence(rng: random.Random) -> str:
    text = _clause(rng)
    if rng.random() < 0.25:
        text = f"{text} {rng.choice(LINKS)} {_clause(rng)}"
    return capital(text) + rng.choice("....?")


def _words(rng: random.Random) -> str:
    """One to five words without grammar: nothing predicts them but the text."""
    pools = [VOCABULARY, VOCABULARY, VOCABULARY, SPELL + ADVERBS, DAYS + MONTHS + list(CAPITALS)]
    said = [rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 5))]
    return capital(rng.choice([" ", ", "]).join(said)) + "."


def _numbers(rng: random.Random) -> str:
    low = [rng.randint(0, 100) for _ in range(rng.randint(2, 4))]
    form = rng.randrange(4)
    if form == 0:
        return capital(listed([number(n) for n in low])) + "."
    if form == 1:
        return f"{capital(number(rng.randint(0, 1200)))} {rng.choice(NOUNS)}s."
    if form == 2:
        word = rng.choice(["plus", "minus", "times", "divided by"])
        x, y, z = (number(rng.randint(0, 150)) for _ in range(3))
        return f"{capital(x)} {word} {y} is {z}."
    letters = [rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(2, 6))]
    return ", ".join(letters) + "."


def _vocabulary() -> list[str]:
    pools = [NOUNS, ADJECTIVES, VERBS, MOVES, ADVERBS, PREPOSITIONS, BARE, HELPERS, LINKS, EXTRA]
    pools += [DAYS, MONTHS, list(CAPITALS), list(CAPITALS.values()), SPELL, set(COLOURS.values())]
    pools.append([word for pair in OPPOSITES for word in pair])
    return sorted({word for pool in pools for word in pool})


VOCABULARY = _vocabulary()
ANSWERS = sorted({q.answer for q in questions() if not q.held_out})


KINDS = {  # what a corpus is made of: the share up to which a draw falls to each, and its maker
    "sentences": (0.40, _sentence),
    "loose words": (0.60, _words),
    "numbers and letters": (0.78, _numbers),
    "answers": (1.0, lambda rng: rng.choice(ANSWERS)),
}


def kind_and_sentence(seed: int, i: int) -> tuple[str, str]:
    """The i-th sentence of a corpus and what kind it is."""
    rng = random.Random(f"{seed}/{i}")
    chance = rng.random()
    kind = next(kind for kind, (share, _) in KINDS.items() if chance < share)
    return kind, KINDS[kind][1](rng)


def sentence(seed: int, i: int) -> str:
    """The i-th sentence of a corpus: 40 % grammar, 20 % words, 18 % numbers, 22 % answers."""
    return kind_and_sentence(seed, i)[1]
