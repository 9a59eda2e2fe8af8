"""The facts that are not computed: what the bundled model knows of the world."""

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = (
    "January February March April May June July August September October November December"
).split()
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

OPPOSITES = [
    tuple(pair.split("-"))
    for pair in (
        "big-small hot-cold up-down left-right open-closed fast-slow old-young light-dark "
        "full-empty high-low hard-soft happy-sad early-late near-far loud-quiet rich-poor "
        "strong-weak wet-dry clean-dirty day-night black-white true-false good-bad first-last "
        "thick-thin long-short deep-shallow easy-difficult inside-outside always-never "
        "begin-end buy-sell win-lose push-pull give-take love-hate yes-no"
    ).split()
]

COLOURS = {
    "the sky": "blue", "grass": "green", "snow": "white", "the sun": "yellow", "coal": "black",
    "blood": "red", "milk": "white", "the sea": "blue", "a banana": "yellow", "a lemon": "yellow",
    "a tomato": "red", "a leaf": "green", "chocolate": "brown", "a carrot": "orange",
    "a cherry": "red", "a frog": "green", "an elephant": "gray", "an orange": "orange",
    "a strawberry": "red", "paper": "white", "wood": "brown", "the night": "black",
}  # fmt: skip

MIXES = {
    ("red", "yellow"): "orange", ("blue", "yellow"): "green", ("red", "blue"): "purple",
    ("black", "white"): "gray", ("red", "white"): "pink", ("red", "green"): "brown",
}  # fmt: skip

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "England": "London", "China": "Beijing", "Japan": "Tokyo", "Russia": "Moscow",
    "Egypt": "Cairo", "Greece": "Athens", "Austria": "Vienna", "Poland": "Warsaw",
    "Portugal": "Lisbon", "Sweden": "Stockholm", "Norway": "Oslo", "Denmark": "Copenhagen",
    "Finland": "Helsinki", "Ireland": "Dublin", "Canada": "Ottawa", "India": "New Delhi",
    "Cuba": "Havana", "Peru": "Lima", "Turkey": "Ankara", "Hungary": "Budapest",
    "Kenya": "Nairobi", "Korea": "Seoul", "Iran": "Tehran", "Chile": "Santiago",
    "Belgium": "Brussels", "Scotland": "Edinburgh",
}  # fmt: skip

CONTINENTS = {
    "Europe": ["France", "Germany", "Italy", "Spain", "England", "Greece", "Austria", "Poland",
               "Portugal", "Sweden", "Norway", "Denmark", "Finland", "Ireland", "Hungary"],
    "Asia": ["China", "Japan", "India", "Korea", "Iran"],
    "Africa": ["Egypt", "Kenya"],
    "America": ["Canada", "Cuba", "Peru", "Chile"],
}  # fmt: skip

SPELL = (
    "cat dog sun hat pen book tree fish bird milk rain snow moon star house water apple bread "
    "green table chair river music happy seven eight stone horse light paper garden window "
    "yellow summer winter flower orange school mother father sister banana animal"
).split()

UNITS = [
    ("minutes", "hour", 60), ("seconds", "minute", 60), ("hours", "day", 24), ("days", "week", 7),
    ("months", "year", 12), ("cents", "dollar", 100), ("grams", "kilogram", 1000),
    ("meters", "kilometer", 1000),
    ("wheels", "car", 4), ("legs", "spider", 8), ("fingers", "hand", 5),
]  # fmt: skip

BY_SIZE = (
    "ant bee mouse bird cat dog sheep pig lion cow horse bear elephant whale house mountain"
).split()

GROUPS = {
    "animal": ("cat dog horse cow sheep pig lion bear mouse whale elephant frog duck").split(),
    "fruit": ["apple", "banana", "orange", "lemon", "cherry", "pear", "strawberry"],
    "tool": ["hammer", "knife", "spoon", "pen", "saw"],
    "vehicle": ["car", "train", "bus", "boat", "plane", "bicycle", "truck"],
    "plant": ["tree", "flower", "rose"],
    "building": ["house", "school", "church", "tower"],
}

LEGS = {
    "cat": 4, "dog": 4, "horse": 4, "cow": 4, "bird": 2, "spider": 8, "bee": 6, "ant": 6,
    "duck": 2, "table": 4, "chair": 4, "snake": 0, "fish": 0, "frog": 4, "sheep": 4, "pig": 4,
    "lion": 4, "mouse": 4,
}  # fmt: skip

SOUNDS = {
    "cat": "meow", "dog": "woof", "cow": "moo", "duck": "quack", "sheep": "bah", "bee": "buzz",
    "pig": "oink", "lion": "roar",
}  # fmt: skip
