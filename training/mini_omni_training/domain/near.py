"""Near misses: asked like the domain, of something that is no part of it. Not known."""

from collections.abc import Iterator
from itertools import product

from . import tables
from .wordings import Words
from .words import article, number

THINGS = (
    "banana computer sandwich cloud philosopher mountain guitar lawyer dolphin shark camel "
    "kangaroo cup king planet doctor dishwasher pillow volcano teacher virus tomato ghost "
    "wallet lizard pirate robot carpet engine violin dinosaur pumpkin monkey penguin crab "
    "snail goat chicken dragon wizard whistle rocket ladder blanket candle mirror basket "
    "potato pepper sofa kettle fridge button envelope curtain ticket uncle plumber butcher "
    "shadow rumor secret thunderstorm holiday puzzle headache promise sentence question"
).split()
INVENTED = (
    "blorp zorble wimple trindle grommock plaffer quibbit drangle florpet snerd klumpf jibber "
    "vorple dringlet mibbet crundle"
).split()
IDEAS = (
    "love happiness infinity justice music nothing everything Christmas yesterday money "
    "freedom time history science lunch homework peace"
).split()
NAMES = "Monday Friday Sunday July yellow green breakfast winter Portugal".split()
OWN = (
    "my age,my weight,my phone number,my brother's cat,the price of my shoes,my neighbor's house,"
    "what I had before,the number I think of,my last bill,my boss's salary,your favorite number,"
    "whatever is in my bag"
).split(",")
COUNTRIES = (
    "Brazil Argentina Australia Mexico Mongolia Nigeria Morocco Thailand Vietnam Ukraine Romania "
    "Bulgaria Croatia Serbia Iceland Switzerland Holland Indonesia Malaysia Pakistan Bangladesh "
    "Israel Lebanon Iraq Syria Afghanistan Ethiopia Ghana Tanzania Uganda Algeria Tunisia Libya "
    "Colombia Venezuela Bolivia Ecuador Uruguay Paraguay Panama Jamaica Haiti Nepal Albania "
    "Slovakia Slovenia Estonia Latvia Lithuania Luxembourg Wales California Texas Atlantis Narnia "
    "Africa Europe Hawaii Greenland Cyprus Malta Georgia Armenia Somalia Sudan Zambia Madagascar"
).split() + ["the moon", "New Zealand", "South Africa", "Saudi Arabia", "the United States", "Mars"]
CITIES = (
    "Chicago Boston Toronto Sydney Munich Hamburg Milan Naples Barcelona Lyon Zurich Prague Dubai "
    "Shanghai Mumbai Istanbul Manchester Liverpool Venice Florence"
).split()
LIKED = "broccoli,chess,rain,football,your job,Mondays,my brother,the sea,pizza,winter".split(",")
WORDS = (
    "zeppelin onomatopoeia encyclopedia computer question language kitchen elephant mountain "
    "hospital dictionary rhythm necessary beautiful restaurant government butterfly telephone "
    "strawberry calendar February Wednesday tomorrow friend because people knife castle island "
    "pumpkin monkey dragon market finger bottle silver purple monster pencil button forest"
).split() + ["my name", "the longest word", "my street", "your favorite word"]
COLOURED = (
    "my shirt,my car,the moon,water,love,happiness,a shark,the wind,my house,your hair,an idea,"
    "Thursday,glass,a ghost,music,the flag,my bike,a computer,the book,a penguin,the king,silence,"
    "sand,a pumpkin,an eggplant,a flamingo,the door,your voice,a horse,honey,butter,rust"
).split(",")
PAINTS = "silver gold pink water oil pepper turquoise beige purple sugar salt milk".split()
OPPOSITE = (
    "banana sandwich Japan blue seven music table computer Tuesday water king carrot window "
    "elephant pencil Paris shoe bread guitar mathematics"
).split()
PLACES = ("cellar,attic,basement,balcony,car,school,church,garden of my neighbor,spaceship,barn,"
          "swimming pool,bathtub").split(",")  # fmt: skip
GADGETS = ("dishwasher,washing machine,oven,sun,toaster,computer,door,window,water,robot,camera,"
           "printer,kettle,moon,dog,vacuum cleaner,fridge").split(",")  # fmt: skip
SPANS = (
    "minus five minutes,nine centuries,three years,a hundred days,ten weeks,a banana,"
    "half a million hours,two months,forever,no minutes,the weekend,a while,ten bananas,six horses,"
    "three elephants,the whole film,as long as it takes,five kilometers,blue,two generations"
).split(",")
TIMES = (
    "yesterday,the day before,noon on the moon,thirty o'clock,twenty six,minus three,"
    "last week,a quarter past banana,fifty five,never,eighty past twelve,ninety in the night,"
    "six o'clock last month,the time my friend comes"
).split(",")
LOUDNESS = ("purple,minus four,a thousand,fifty,seventy seven,banana,one million,loud,the moon,"
            "two hundred,zero point five,yes,a tomato,green,the moon and back,my brother,"
            "Friday").split(",")  # fmt: skip
SAID = (
    "banana,computer,something,nothing,my name,a joke,the alphabet,good night,mountain,"
    "what he said,it,pizza,that again,a secret,goodbye,lemon,elephant"
).split(",")
MEASURES = ("miles,pounds,inches,liters,ounces,feet,gallons,acres,degrees,bottles,people,stars,"
            "eggs,pages,bones,keys").split(",")  # fmt: skip
WHOLES = ("a gallon,a yard,a ton,a lifetime,a cup,a cookbook,my pocket,a library,an ocean,"
          "a century,three stones,two bananas,a piano,a football team").split(",")  # fmt: skip
LARGE = [number(n) for n in (120, 150, 222, 345, 408, 500, 613, 750, 999, 1000, 1500, 2024, 7300)]
ODD = LARGE + ["a million", "two billion", "one half", "two point five", "minus seven", "infinity"]
ALL = [article(t) for t in THINGS + INVENTED] + IDEAS + OWN


def _pairs(what: str, firsts: list[str], seconds: list[str], step: int = 1) -> Iterator:
    for i, (a, b) in enumerate(product(firsts, seconds)):
        if i % step == 0 and a != b:
            yield what, {"a": a, "b": b}


def _each(what: str, words: list[str]) -> Iterator[tuple[str, Words]]:
    for word in words:
        yield what, {"a": word}


def near() -> Iterator[tuple[str, Words]]:
    """What is asked, and of which words."""
    low = [number(n) for n in (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 20, 31, 44, 60)]
    for sign in ("plus", "minus", "times", "divided"):
        yield from _pairs(sign, low, ALL + NAMES, 13)
        yield from _pairs(sign, ALL + NAMES, low, 13)
        yield from _pairs(sign, ODD, LARGE, 5)
    for which in ("larger", "smaller"):
        yield from _pairs(which, low, ALL + NAMES, 11)
        yield from _pairs(which, IDEAS, ALL, 17)
    for what in ("bigger_thing", "smaller_thing"):
        yield from _pairs(what, ALL, ALL, 61)
        yield from _pairs(what, [article(a) for a in tables.BY_SIZE], IDEAS, 5)
    for what in ("after", "before"):
        yield from _each(what, ALL + ["a trillion", "the end"])
    yield from _each("near_day", tables.MONTHS + IDEAS + ["summer", "the weekend"])
    yield from _each("near_month", tables.DAYS + IDEAS + ["winter", "the holidays"])
    yield "near_talk", {}
    for n in (40, 100, 365, 1000):
        for day in [*tables.DAYS, "yesterday", "Christmas", "my birthday", *tables.MONTHS]:
            yield "days_ahead", {"a": day, "n": number(n)}
    yield from _pairs("counting", low, [*LARGE, "a million", *THINGS[::5], "Monday", "forever"], 4)
    for end in [*LARGE, "a million", "banana", "Monday", "infinity"]:
        yield "count_to", {"b": end}
    yield from _pairs("countdown", LARGE + ["a million", "Friday"], [*low, "banana"], 5)
    yield from _each("even_or_odd", ALL + ["two and a half", "one half", "a third"])
    yield from _each("doubles", ALL + tables.DAYS)
    yield from _each("half", ALL + tables.MONTHS + [number(n) for n in (3, 7, 9, 15, 21, 250, 600)])
    places = (
        "thirteenth fifteenth eighteenth twentieth thirtieth fortieth fiftieth seventieth "
        "hundredth last"
    )
    yield from _each("ordinal_letters", places.split() + ["best", "nicest", "middle", "missing"])
    yield from _each("opposites", OPPOSITE + IDEAS[1:] + [article(t) for t in THINGS[:20]])
    yield from _each("month_days", tables.DAYS + IDEAS + ["last month", "next year", "my holiday"])
    yield from _each("seasons", tables.DAYS + IDEAS + ["my birthday", "the moon", "the film"])
    yield from _each("colours", COLOURED)
    yield from _pairs("mixing", PAINTS, [*PAINTS, *list(tables.MIXES)[0], "white"], 2)
    yield from _each("capitals", COUNTRIES)
    yield from _each("capitals", CITIES[:8])
    yield from _each("continents", COUNTRIES[:-12] + ["my house", "my town", "Atlantis"])
    for what in ("spelling", "letters", "first_letter"):
        yield from _each(what, WORDS)
    for s, b in list(product(MEASURES, WHOLES))[::4]:
        yield "units", {"s": s, "b": b}
    known = {member for members in tables.GROUPS.values() for member in members}
    yield from _each("categories", [article(t) for t in THINGS if t not in known] + IDEAS)
    others = [article(t) for t in THINGS if t not in known]
    groups = [article(group) for group in tables.GROUPS]
    yield from _pairs("is_it", others, [*groups, "a planet", "a person"], 3)
    yield from _each("legs", [article(t) for t in THINGS if t not in tables.LEGS] + ["my neighbor"])
    yield from _each("sounds", [article(t) for t in THINGS if t not in tables.SOUNDS])
    yield from _each("like_city", CITIES + LIKED + ALL[:25])
    yield from _switches()
    yield from _each("timer", SPANS)
    for clock in TIMES:
        for part in ("in the morning", "on the moon", "last year", "yesterday"):
            yield "alarm", {"a": clock, "p": part}
    yield from _each("volume", LOUDNESS)
    yield from _pairs("repeat", SAID, SAID, 5)


def _switches() -> Iterator[tuple[str, Words]]:
    rooms = ["kitchen", "bedroom", "garden", "hall", "office"]
    devices = ["light", "lamp", "fan", "heater", "radio"]
    known = [*product(rooms, GADGETS), *product(PLACES, devices), *product(PLACES, GADGETS[:5])]
    for i, (room, device) in enumerate(known):
        yield "switch", {"r": room, "d": device, "s": ("on", "off")[i % 2]}
